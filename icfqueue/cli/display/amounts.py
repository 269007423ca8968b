"""Sizes and times in words: the same units everywhere."""

from __future__ import annotations

from icfqueue.core.plain_text import size as in_words

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_EXACT = 9.95
"""Seconds below which a tenth matters."""


def amount(size: int | None) -> str:
    """Return a size (bytes) in words: ``41.0 kB``, of 1000 bytes; empty for none."""
    return "" if size is None else in_words(size)


def duration(seconds: float | None) -> str:
    """Return seconds in words, by the two largest units; empty for None."""
    if seconds is None:
        return ""
    if seconds < _EXACT:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02} h"
