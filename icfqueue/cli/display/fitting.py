"""How a table fits a line: the one rule for all tables.

What does not fit is left out column by column, the least important first; none is made
narrower, so that what is there can be read and copied. Prose goes on in lines of its own.
Where even what always stays does not fit, an id that is too long has a line to itself, and
its row goes on in the next one. Without any library: commands are started often, and there
may be 100,000 rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icfqueue.cli.shell.folding import cells, folded

ALWAYS = 100
"""Importance of what is never left out: ids and states."""

GAP = 2
"""Blanks between two columns."""

INDENT = 2
"""Blanks before what goes on below a row."""

MOST = 0.5
"""Share of the rows for which a table is made."""

PROSE = 30
"""Characters of a column in which prose is still easy to read."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    head
        Its name, in the first line.
    importance
        Up to :data:`ALWAYS`; where there is not room, the lowest goes first.
    right
        Whether it holds numbers, which end under each other.
    prose
        Whether it holds sentences: they are folded, in the last column or below the row.
    paste
        Whether it holds commands: one for which there is not room stands below the row.
    """

    head: str
    importance: int = ALWAYS
    right: bool = False
    prose: bool = False
    paste: bool = False


def width_of(widths: Sequence[int]) -> int:
    """Return the characters of a line with columns of `widths`."""
    return max(0, sum(width + GAP for width in widths) - GAP)


def fitting(widths: Sequence[int], importance: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that are shown.

    Parameters
    ----------
    widths
        Characters that each column takes; 0 for one that has nothing to show.
    importance
        Of each; the lowest goes first, and of two equal ones the last. What has
        :data:`ALWAYS` stays, even if the line then is too long.
    room
        Characters of a line.
    """
    chosen = [place for place, width in enumerate(widths) if width]
    while width_of([widths[place] for place in chosen]) > room:
        least = min(chosen, key=lambda place: (importance[place], -place))
        if importance[least] >= ALWAYS:
            break
        chosen.remove(least)
    return chosen


Piece = tuple[str, int]
"""A part of a line, and the place of its column; -1 for blanks."""


class Layout:
    """Where everything of a table stands.

    Parameters
    ----------
    columns
        Those in which no row has anything are not shown, unless they stay always.
    rows
        Their texts, each in one line.
    room
        Characters of a line; None is any number, for output that programs read.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None
    ) -> None:
        self.columns = columns
        self.room = room
        self._lengths = [
            [cells(row[place]) for row in rows] for place in range(len(columns))
        ]
        self.widths = [self._width(place) for place in range(len(columns))]
        self.below: list[int] = []
        self.chosen = [place for place, width in enumerate(self.widths) if width]
        if room is not None:
            self._fit(room)

    def heads(self) -> Iterator[list[Piece]]:
        """Yield the first line, or what it takes."""
        yield from self._placed([column.head for column in self.columns])

    def lines(self, row: Sequence[str]) -> Iterator[list[Piece]]:
        """Yield the lines of a row."""
        yield from self._placed(row)
        for place in self.below:
            if text := row[place]:
                yield from self._below(place, text)

    def _width(self, place: int) -> int:
        """Return the characters that a column takes; 0 for one that has nothing."""
        column, longest = self.columns[place], max(self._lengths[place], default=0)
        if not longest and column.importance < ALWAYS:
            return 0
        return max(longest, cells(column.head))

    def _fit(self, room: int) -> None:
        last = len(self.columns) - 1
        if self.columns[last].prose:
            self.widths[last] = min(self.widths[last], PROSE)
        self._choose(room)
        # If but a few rows are too long, the others need not suffer for it.
        self._shrink(room, MOST)
        for place in [one for one in self.chosen if self._may_go_below(one)]:
            if self._taken() > room:
                self.below.append(place)
                self.widths[place] = 0
                self._choose(room)
        self._shrink(room, 0)
        # There may be room again for others.
        self._choose(room)
        if last in self.chosen and self.columns[last].prose:
            others = self._taken() - self.widths[last]
            self.widths[last] = max(self.widths[last], room - others)

    def _shrink(self, room: int, share: float) -> None:
        """Have ids that are too long stand alone, if at least a share of them is not."""
        for place in self.chosen:
            others = self._taken() - self.widths[place]
            if others + self.widths[place] <= room or self._may_go_below(place):
                continue
            lengths = [one for one in self._lengths[place] if one]
            fit = [one for one in lengths if one <= room - others]
            if len(fit) >= share * len(lengths):
                self.widths[place] = max([cells(self.columns[place].head), *fit])

    def _choose(self, room: int) -> None:
        weights = [column.importance for column in self.columns]
        self.chosen = fitting(self.widths, weights, room)

    def _may_go_below(self, place: int) -> bool:
        return self.columns[place].prose or self.columns[place].paste

    def _taken(self) -> int:
        return width_of([self.widths[place] for place in self.chosen])

    def _placed(self, row: Sequence[str]) -> Iterator[list[Piece]]:
        """Yield the lines of the columns that are shown; what is too long begins one."""
        line: list[Piece] = []
        begin = end = 0
        for place in self.chosen:
            text, width = row[place], self.widths[place]
            start = begin
            begin += width + GAP
            lines = self._folded(place, text)
            if lines is None:
                if line:
                    yield line
                yield from self._below(place, text)
                return
            for number, words in enumerate(lines):
                taken, at = cells(words), start
                if self.columns[place].right:
                    at += max(0, width - taken)
                too_long = self.room is not None and at + taken > self.room
                if number or (line and (too_long or at < end + GAP)):
                    yield line
                    line, end = [], 0
                if too_long:
                    at = min(at, INDENT)
                if at > end:
                    line.append((" " * (at - end), -1))
                line.append((words, place))
                end = at + taken
        if line:
            yield line

    def _folded(self, place: int, text: str) -> list[str] | None:
        """Return the lines of a cell, None if it has a word that is too long for it."""
        if not text:
            return []
        if self.room is None or not self.columns[place].prose:
            return [text]
        lines = folded(text, self.widths[place])
        fit = all(cells(line) <= self.widths[place] for line in lines)
        return lines if fit else None

    def _below(self, place: int, text: str) -> Iterator[list[Piece]]:
        """Yield the lines of a cell that stands below its row."""
        room = None if self.columns[place].paste else self.room
        for line in [text] if room is None else folded(text, max(1, room - INDENT)):
            yield [(" " * INDENT, -1), (line, place)]
