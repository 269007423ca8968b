"""Where it is shown: consoles, colours, amounts in the units used everywhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.filesize import decimal
from rich.segment import Segment
from rich.text import Text

from icfqueue.core.plain_text import escaped
from icfqueue.ledger.record import State

COLOURS = {
    State.QUEUED: "cyan",
    State.RUNNING: "blue",
    State.WAITING: "yellow",
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
}

WIDE = 240
"""Characters of a line where the output is no terminal."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_EXACT = 9.95
"""Seconds below which a tenth matters."""


def console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, lines are not cut short.

    Colours are for terminals alone, and for none where NO_COLOR is set.
    """
    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, width=WIDE, no_color=True, highlight=False)


def cell(text: str, style: str = "") -> Text:
    """Return `text` as it stands: no markup is read out of it, and no terminal obeys it.

    Records come from the broker, to which others may write.
    """
    return Text(escaped(text), style=style)


@dataclass(frozen=True)
class Line:
    """A text of its own, to be printed by :func:`show`.

    Attributes
    ----------
    text
        What it says; already escaped, as :func:`cell` returns it.
    indent
        Blanks before each of its lines.
    whole
        It may be pasted: no end of line is put into it, the terminal itself breaks it.
    """

    text: Text
    indent: int = 0
    whole: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = " " * self.indent
        lines = [self.text]
        if console.is_terminal and not self.whole:
            room = max(1, options.max_width - self.indent)
            lines = list(self.text.wrap(console, room))
        for line in lines:
            line.rstrip()
            # A text's own style is that of its parts only where it is one of several.
            yield from Text(margin).append_text(line).render(console)
            yield Segment.line()


def to_paste(words: str, indent: int = 0, style: str = "") -> Line:
    """Return a line with a command in it, which whoever reads it may paste."""
    return Line(cell(words, style), indent, whole=True)


def show(where: Console, *parts: RenderableType) -> None:
    """Print what may have lines that are longer than the terminal is wide."""
    for part in parts:
        where.print(part, crop=False, soft_wrap=isinstance(part, Text))


def amount(size: int | None) -> str:
    """Return a size (bytes) in words: ``41.0 kB``, of 1000 bytes; empty for none."""
    return "" if size is None else decimal(size)


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
