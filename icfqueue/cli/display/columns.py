"""Lines under each other that fit the terminal, with colours: what rich prints of a table.

Where what stands is told by :mod:`icfqueue.cli.display.fitting`. An error has lines of its
own below what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from icfqueue.cli.display.fitting import INDENT, Column, Layout, Piece
from icfqueue.cli.shell.folding import cells, folded
from icfqueue.core.plain_text import escaped

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
        Lines that each text below a row has at most, if any number is not right; the last
        one ends with an ellipsis where it goes on.
    """

    columns: list[Column]
    below_lines: int | None = None
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
        return [self.columns[place].head for place in self._layout(width).chosen]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width if console.is_terminal else None
        layout = self._layout(room)
        for line in layout.heads():
            yield from _segments(console, line, ["bold"] * len(self.columns))
        for row in self.rows:
            styles = [style for _, style in row.cells]
            for line in layout.lines([words for words, _ in row.cells]):
                yield from _segments(console, line, styles)
            for words, style in row.below:
                for text in self._below(words, room):
                    yield Segment(" " * INDENT + text, _style(console, style))
                    yield Segment.line()

    def _layout(self, room: int | None) -> Layout:
        rows = [[words for words, _ in row.cells] for row in self.rows]
        return Layout(self.columns, rows, room)

    def _below(self, words: str, room: int | None) -> list[str]:
        """Return the lines of what stands below; one, for programs, if no terminal."""
        if room is None:
            return [words]
        room = max(1, room - INDENT)
        lines = folded(words, room)
        if self.below_lines is None:
            return lines
        shown = lines[: self.below_lines]
        # On a screen that changes nobody pastes a command that is longer than a line.
        if len(shown) < len(lines) or cells(shown[-1]) > room:
            shown[-1] = set_cell_size(shown[-1], min(cells(shown[-1]), room - 1)) + "…"
        return shown


def _segments(
    console: Console, line: Sequence[Piece], styles: Sequence[str]
) -> Iterator[Segment]:
    for words, place in line:
        yield Segment(words, None if place < 0 else _style(console, styles[place]))
    yield Segment.line()


def _read(cell: Cell) -> tuple[str, str]:
    text, style = (cell.plain, str(cell.style)) if isinstance(cell, Text) else (cell, "")
    # A line is a line, whatever a name or a message has in it.
    return escaped(" ".join(text.split())), style


def _style(console: Console, name: str) -> Style | None:
    return console.get_style(name) if name else None
