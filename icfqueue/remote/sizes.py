"""The one reader of sizes that a store tells in its headers."""

from __future__ import annotations

import re

from icfqueue.core.errors import PermanentError
from icfqueue.core.plain_text import shown

DIGITS = 18
"""Of the largest size: an exbibyte has 19, and a visit's record holds less than 2**62
bytes, which is more than 18 digits can say."""

_SIZE = re.compile(rf"[0-9]{{1,{DIGITS}}}")
_RANGE = re.compile(rf"bytes ({_SIZE.pattern})-({_SIZE.pattern})/({_SIZE.pattern})")


def size_of(text: str) -> int | None:
    """Return the bytes that ``Content-Length`` tells (RFC 9110, 8.6); None if it is none.

    Nor is what is longer than any file: not even looked at, for Python needs time in
    proportion to the square of the digits.
    """
    return int(text) if _SIZE.fullmatch(text) else None


def told_size(text: str | None, url: str) -> int | None:
    """Return the bytes that the store tells of `url`; None if it tells nothing.

    Raises
    ------
    PermanentError
        It tells what is no size.
    """
    if text is None:
        return None
    size = size_of(text)
    if size is None:
        raise no_length(url, text)
    return size


def range_of(text: str) -> tuple[int, int, int] | None:
    """Return first and last byte, and whole size, by ``Content-Range`` (RFC 9110, 14.4).

    None if it tells them not.
    """
    found = _RANGE.fullmatch(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def no_length(url: str, text: str = "") -> PermanentError:
    """Return the error of a file of which the store tells no length, but `text`."""
    said = f" ({shown(text[:40])})" if text else ""
    return PermanentError(
        f"{url} comes without a usable Content-Length{said}, so that nobody could tell "
        "whether all of it has arrived",
        hint="have the store send tarballs as plain files",
        cause="store-answer",
    )
