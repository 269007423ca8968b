"""The status as it is printed: for people, as JSON and as CSV.

What people see is made by :mod:`icfqueue.cli.display`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from icfqueue.cli.display.project import ProjectView
from icfqueue.cli.display.projects import counts_line, projects
from icfqueue.cli.display.terminal import cell, console, show
from icfqueue.cli.display.visits import visit_alone
from icfqueue.cli.rows import print_csv
from icfqueue.cli.shell.again import store_dir
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.operations import status
from icfqueue.operations.status import Wanted

__all__ = ["cell", "console", "counts_line", "exit_code", "once", "watch"]


@dataclass(frozen=True, slots=True)
class Question:
    """What ``icfqueue status`` was asked for.

    Attributes
    ----------
    project, visit
        None is all projects, or all visits of the project.
    state, causes, among
        Visits of the project in that state, with these causes, and of these alone.
    everything
        A line for each visit, however many there are.
    """

    project: str | None = None
    visit: str | None = None
    state: str | None = None
    causes: Sequence[str] = ()
    among: Sequence[Visit] | None = None
    everything: bool = False

    @property
    def wanted(self) -> Wanted:
        """Which visits those are."""
        states = (State(self.state),) if self.state else tuple(State)
        return Wanted(states, self.causes, self.among)

    @property
    def listed(self) -> bool:
        """Whether certain visits are asked for: they are listed, each for itself."""
        return bool(self.state or self.causes or self.among is not None or self.everything)


def once(ledger: Ledger, asked: Question, form: str) -> int:
    """Print the status once; return the exit code."""
    line = None
    if form == "table" and asked.project and not asked.visit:
        line = status.summary(ledger, asked.project)
        view = ProjectView(ledger, asked.project, asked.wanted, asked.listed)
        show(console(), view.shown(line))
    elif form == "table":
        show(console(), _other(ledger, asked))
    elif form == "json":
        sys.stdout.writelines(json_lines(ledger, asked))
    else:
        _csv(ledger, asked)
    if asked.causes or asked.among is not None:
        failed = asked.wanted.only(State.FAILED)
        found = status.found_of(ledger, asked.project or "", failed)
        return int(next(iter(found), None) is not None)
    if asked.state not in {None, State.FAILED.value}:
        return 0
    if line:
        # Of the counts that are shown; they are not asked for again.
        return int(line.counts[State.FAILED] > 0)
    return exit_code(ledger, asked.project, asked.visit)


def exit_code(ledger: Ledger, project: str | None, visit: str | None = None) -> int:
    """Return 1 if a visit that is shown failed."""
    if project and visit:
        return int(_record(ledger, project, visit).state == State.FAILED)
    names = [project] if project else ledger.projects()
    return int(any(ledger.counts(name)[State.FAILED] for name in names))


def watch(ledger: Ledger, asked: Question, pause: float) -> int:
    """Show the status again and again, until Ctrl-C; as much of it as there is room for."""
    from rich.live import Live

    where = console()
    view = ProjectView(ledger, asked.project or "", asked.wanted, asked.listed)

    def shown() -> RenderableType:
        if asked.project and not asked.visit:
            return view.shown(room=where.height - 1)
        return _other(ledger, asked)

    with Live(shown(), console=where, auto_refresh=False) as live:
        while True:
            time.sleep(pause)
            live.update(shown(), refresh=True)


def json_lines(ledger: Ledger, asked: Question) -> Iterator[str]:
    """Yield what ``--format json`` prints."""
    if asked.project and asked.visit is None:
        yield from status.project_lines(ledger, asked.project, asked.wanted, store_dir())
        return
    found: Any
    if asked.project and asked.visit:
        found = status.visit_json(_record(ledger, asked.project, asked.visit), store_dir())
    else:
        lines = [status.summary(ledger, name) for name in ledger.projects()]
        workers = status.anybody(ledger)
        found = [status.summary_json(line, workers=workers) for line in lines]
    yield json.dumps(found, indent=2) + "\n"


def _other(ledger: Ledger, asked: Question) -> RenderableType:
    """Return all projects, or one visit."""
    if asked.project and asked.visit:
        return visit_alone(_record(ledger, asked.project, asked.visit))
    lines = (status.summary(ledger, name) for name in ledger.projects())
    return projects(lines, workers=status.anybody(ledger))


def _record(ledger: Ledger, project: str, visit: str) -> Record:
    entry = ledger.get(Visit(project, visit))
    if entry is None:
        raise UsageError(
            f"{project}/{visit} was never enqueued",
            hint=f"see 'icfqueue status {project}'",
        )
    return entry.record


def _csv(ledger: Ledger, asked: Question) -> None:
    if asked.project is None:
        workers = status.anybody(ledger)
        lines = [
            status.summary_json(status.summary(ledger, name), workers=workers)
            for name in ledger.projects()
        ]
        rows = [line | line.pop("counts") for line in lines]
        names = ["project", *State, "tar_bytes", "read_bytes", "read_dicoms"]
    else:
        if asked.visit:
            rows = [status.visit_row(_record(ledger, asked.project, asked.visit))]
        else:
            records = status.found_of(ledger, asked.project, asked.wanted)
            rows = [status.visit_row(record) for record in records]
        names = list(status.CSV_FIELDS)
    print_csv(names, rows)
