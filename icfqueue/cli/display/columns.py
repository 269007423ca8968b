"""Lines under each other that fit the terminal, from 60 columns to 300.

What does not fit is left out column by column, the least important first; none is made
narrower, so that what is there can be read and copied. An error has lines of its own
below what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from icfqueue.cli.display.fitting import ALWAYS, GAP, fitting
from icfqueue.core.plain_text import escaped

INDENT = 2
"""Blanks before what stands below a line."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    head
        Its name, in the first line.
    importance
        Up to :data:`.fitting.ALWAYS`; where there is not room, the lowest goes first.
    right
        Whether it holds numbers, which end under each other.
    """

    head: str
    importance: int = ALWAYS
    right: bool = False


Cell = str | Text
"""A text, or one with a style. It may come from outside: it is escaped."""


@dataclass(slots=True)
class _Row:
    cells: list[tuple[str, str]]
    below: list[tuple[str, str]]


@dataclass
class Columns:
    """A table without a frame; rich can print it.

    Parameters
    ----------
    columns
        Those in which no line has anything are not shown.
    below_lines
        Lines that each text below a row has at most; the last one ends with an ellipsis
        where it goes on.
    """

    columns: list[Column]
    below_lines: int = 2
    rows: list[_Row] = field(default_factory=list)

    def add(self, *cells: Cell, below: Iterable[Cell] = ()) -> None:
        """Add a line.

        Parameters
        ----------
        cells
            One for each column.
        below
            What stands below it, from the left margin on: its error.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(_Row([_read(one) for one in cells], [_read(one) for one in below]))

    def heads(self, width: int) -> list[str]:
        """Return the columns that are shown where a line has `width` characters."""
        return [self.columns[place].head for place in self._chosen(self._widths(), width)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths()
        chosen = self._chosen(widths, options.max_width)
        heads = [(column.head, "bold") for column in self.columns]
        yield from self._line(console, heads, chosen, widths)
        for row in self.rows:
            yield from self._line(console, row.cells, chosen, widths)
            for words, style in row.below:
                for line in self._wrapped(console, words, options.max_width):
                    yield Segment(line, _style(console, style))
                    yield Segment.line()

    def _widths(self) -> list[int]:
        """Return the characters that each column takes; 0 for one that has nothing."""
        widths = []
        for place, column in enumerate(self.columns):
            longest = max((cell_len(row.cells[place][0]) for row in self.rows), default=0)
            empty = not longest and column.importance < ALWAYS
            widths.append(0 if empty else max(longest, cell_len(column.head)))
        return widths

    def _chosen(self, widths: list[int], room: int) -> list[int]:
        return fitting(widths, [column.importance for column in self.columns], room)

    def _line(
        self,
        console: Console,
        cells: list[tuple[str, str]],
        chosen: list[int],
        widths: list[int],
    ) -> Iterator[Segment]:
        for number, place in enumerate(chosen):
            words, style = cells[place]
            blanks = " " * (widths[place] - cell_len(words))
            if number:
                yield Segment(" " * GAP)
            if self.columns[place].right:
                yield Segment(blanks)
            yield Segment(words, _style(console, style))
            # No blanks at the end of a line: it may be as wide as the terminal.
            if not self.columns[place].right and number + 1 < len(chosen):
                yield Segment(blanks)
        yield Segment.line()

    def _wrapped(self, console: Console, words: str, width: int) -> list[str]:
        """Return the lines of what stands below; one to paste it, or for programs."""
        margin = " " * INDENT
        # A command is to be pasted; on a screen that changes nobody does.
        pasted = "`icfqueue " in words and self.below_lines > 1
        if pasted or not console.is_terminal:
            return [margin + words]
        lines = Text(words).wrap(console, max(1, width - INDENT))
        shown = [line.plain.rstrip() for line in lines[: self.below_lines]]
        if len(lines) > len(shown):
            room = max(1, width - INDENT - 1)
            shown[-1] = set_cell_size(shown[-1], min(cell_len(shown[-1]), room)) + "…"
        return [margin + line for line in shown]


def _read(cell: Cell) -> tuple[str, str]:
    text, style = (cell.plain, str(cell.style)) if isinstance(cell, Text) else (cell, "")
    # A line is a line, whatever a name or a message has in it.
    return escaped(" ".join(text.split())), style


def _style(console: Console, name: str) -> Style | None:
    return console.get_style(name) if name else None
