"""Where it is shown: consoles, colours, lines that may be pasted."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from icfqueue.cli.shell.colours import DUMB, colours
from icfqueue.cli.shell.folding import fold
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

JOINED = "\ue000"
"""A blank at which no line is broken, in a :class:`Line`. For private use, so that it is
in no text from outside: :func:`cell` would have escaped it."""

WIDE = 240
"""Characters of a line where the output is no terminal."""


def console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, lines are not cut short.

    Its colours are those of :func:`icfqueue.cli.shell.colours.colours`; without colours
    there is no bold either.
    """
    wished = colours()
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    system: Literal["auto", "standard"] | None = None
    if wished or (wished is None and is_terminal):
        dumb = os.environ.get("TERM") in DUMB
        system = "auto" if is_terminal and not dumb else "standard"
    return Console(
        stderr=stderr,
        width=None if is_terminal else WIDE,
        force_terminal=is_terminal,
        color_system=system,
        highlight=False,
    )


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
            plain = self.text.plain
            lines = [self.text[one] for one in fold(plain, room)] or [self.text]
        for line in lines:
            line.rstrip()
            line.plain = line.plain.replace(JOINED, " ")
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
