"""One project: counts, why visits failed and wait, and visits if few or asked for.

A line for each visit is shown of small projects alone. Of others the causes of failures
are, and how to list visits: nobody reads 2,000 lines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.text import Text

from icfqueue.cli.display.causes import causes, waits
from icfqueue.cli.display.projects import counts_line
from icfqueue.cli.display.terminal import JOINED, Line, cell, to_paste
from icfqueue.cli.display.visits import add_visits, visit_columns
from icfqueue.cli.shell.again import ours
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.operations import status
from icfqueue.operations.status import ProjectSummary, Wanted
from icfqueue.overview.failures import CauseGroup, by_cause

FEW = 30
"""Visits of a project that are all shown without being asked for."""

AT_WORK = 5
"""Running visits of a longer project that are shown."""

BY_INTEREST = (
    State.RUNNING,
    State.FAILED,
    State.WAITING,
    State.QUEUED,
    State.CANCELLED,
    State.DONE,
)
"""Which visits ``--watch`` shows where there is not room for all."""

LEAST_PAUSE = 2.0
"""Seconds, at least, between two looks of ``--watch`` at all that failed."""

SPARING = 20
"""How many times as long as such a look took it is until the next one."""


FRAME = 3
"""Lines for counts, heads of columns and what is left out."""


@dataclass
class ProjectView:
    """A project as it is shown, once or again and again.

    Parameters
    ----------
    wanted
        The visits that are asked for by state, cause or name.
    listed
        Whether they are: each then has a line, however many they are.
    """

    ledger: Ledger
    project: str
    wanted: Wanted = status.EVERYTHING
    listed: bool = False
    _groups: list[CauseGroup] = field(default_factory=list)
    _grouped: int = -1
    _next: float = 0.0

    def shown(
        self, line: ProjectSummary | None = None, room: int | None = None
    ) -> RenderableType:
        """Return what is shown now.

        Parameters
        ----------
        line
            The project's counts, if they are known.
        room
            Lines that the terminal has; None is any number.
        """
        line = line or status.summary(self.ledger, self.project)
        workers = status.anybody(self.ledger)
        counts = counts_line(line, workers=workers)
        # A number and what it is of stay in one line.
        counts.plain = re.sub(r"(\d) (\w)", rf"\1{JOINED}\2", counts.plain)
        parts: list[RenderableType] = [Line(counts)]
        few = self.listed or line.visits <= FEW
        below = self._below(line, few=few)
        if few:
            left = None if room is None else max(1, room - len(below) - FRAME)
            parts += self._list(line, left)
        elif line.counts[State.RUNNING]:
            parts += self._at_work(line)
        return Group(*parts, *below)

    def _list(self, line: ProjectSummary, room: int | None) -> list[RenderableType]:
        """Return a line for each visit that is wanted, as far as there is room."""
        found = list(self._first(room))
        if not found:
            return [Line(cell(self._nothing(line), "dim"))] if self.listed else []
        # On a screen that changes each visit keeps its place better with a line alone.
        parts = self._visits(found, below_lines=None if room is None else 1)
        if room is not None and not self.wanted.causes and self.wanted.among is None:
            left = sum(line.counts[one] for one in self.wanted.states) - len(found)
            if left > 0:
                parts.append(Text(f"… and {left} more", style="dim"))
        return parts

    def _nothing(self, line: ProjectSummary) -> str:
        """Return that no visit is as it was asked for, and how visits are."""
        wanted = self.wanted
        if wanted.causes:
            return status.no_such_cause(self.ledger, self.project, wanted)
        states = " or ".join(wanted.states)
        counts = status.counts_of(line, workers=status.anybody(self.ledger))
        there = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        if wanted.among is not None:
            return f"none of the visits named is {states}; of all there are {there}"
        return f"no visit of {self.project} is {states}; there are {there}"

    def _at_work(self, line: ProjectSummary) -> list[RenderableType]:
        visits = self.ledger.visits(self.project, [State.RUNNING])
        parts = self._visits(list(self._read(visits[:AT_WORK])), errors=False)
        if left := len(visits[AT_WORK:]):
            command = ours("status", line.project, "--state", "running")
            parts.append(to_paste(f"… and {left} more at work: {command}", style="dim"))
        return parts

    def _below(self, line: ProjectSummary, *, few: bool) -> list[Line]:
        """Return what stands below the visits: causes, and what can be done."""
        found: list[Line] = []
        if line.counts[State.FAILED] and State.FAILED in self.wanted.states:
            groups = self._failed(line.counts[State.FAILED])
            if few and groups:
                found.append(Line(Text()))
            found += causes(groups, line.project, messages=not few)
        if not few:
            if line.counts[State.WAITING]:
                waiting = by_cause(self.ledger, line.project, [State.WAITING])
                found += waits(waiting, self.ledger.now())
            command = ours("status", line.project, "--all")
            found.append(to_paste(f"each visit: {command}    # or --state done, …", 2))
        return found

    def _failed(self, count: int) -> list[CauseGroup]:
        """Return the causes of what failed; of many they are not asked at every look."""
        began = time.monotonic()
        if began >= self._next or (count != self._grouped and count <= FEW):
            wanted = self.wanted.only(State.FAILED)
            among = None
            if wanted.causes or wanted.among is not None:
                found = status.found_of(self.ledger, self.project, wanted)
                among = [record.visit for record in found]
            self._groups = by_cause(self.ledger, self.project, among=among)
            self._grouped = count
            took = time.monotonic() - began
            self._next = began + max(LEAST_PAUSE, SPARING * took)
        return self._groups

    def _first(self, room: int | None) -> Iterable[Record | Unreadable]:
        """Return the records to show; of a long project no more are read than have room."""
        wanted = self.wanted
        if room is None:
            return status.found_of(self.ledger, self.project, wanted)
        if wanted.causes or wanted.among is not None:
            return list(status.found_of(self.ledger, self.project, wanted))[:room]
        chosen: list[Visit] = []
        for state in BY_INTEREST:
            if state in wanted.states and len(chosen) < room:
                chosen += self.ledger.visits(self.project, [state])[: room - len(chosen)]
        return self._read(chosen)

    def _read(self, visits: list[Visit]) -> Iterable[Record | Unreadable]:
        for entry in self.ledger.get_many(visits):
            if entry:
                yield entry.record if isinstance(entry, Entry) else entry

    def _visits(
        self,
        found: list[Record | Unreadable],
        *,
        below_lines: int | None = None,
        errors: bool = True,
    ) -> list[RenderableType]:
        table = visit_columns(below_lines)
        add_visits(
            table,
            found,
            now=self.ledger.now(),
            progress=self.ledger.progress(self.project),
            errors=errors,
        )
        return [table]
