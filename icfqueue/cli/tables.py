"""Tables, JSON and CSV of the status."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from icfqueue.cli.rows import print_csv
from icfqueue.core.errors import UsageError
from icfqueue.core.plain_text import escaped
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.operations import status
from icfqueue.overview.failures import error_of

COLOURS = {
    State.QUEUED: "cyan",
    State.RUNNING: "blue",
    State.WAITING: "yellow",
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
}
BY_INTEREST = (
    State.RUNNING,
    State.FAILED,
    State.WAITING,
    State.QUEUED,
    State.CANCELLED,
    State.DONE,
)
"""Which visits ``--watch`` shows where there is not room for all."""

FRAME = 7
"""Lines of the screen that are needed for counts and the table's frame."""

MESSAGE_WIDTH = 60
"""Characters of an error in a line of the table; ``status PROJECT VISIT`` has it whole."""


def cell(text: str, style: str = "") -> Text:
    """Return `text` as it stands: no markup is read out of it, and no terminal obeys it.

    Records come from the broker, to which others may write.
    """
    return Text(escaped(text), style=style)


def once(
    ledger: Ledger, project: str | None, visit: str | None, state: str | None, form: str
) -> int:
    """Print the status once; return the exit code."""
    line = None
    if form == "table" and project and not visit:
        line = status.summary(ledger, project)
        console().print(_project(line, ledger, project, state, None))
    elif form == "table":
        console().print(table(ledger, project, visit, state))
    elif form == "json":
        sys.stdout.writelines(json_lines(ledger, project, visit, state))
    else:
        _csv(ledger, project, visit, state)
    if state not in {None, State.FAILED.value}:
        return 0
    if line:
        # Of the counts that are shown; they are not asked for again.
        return int(line.counts[State.FAILED] > 0)
    return exit_code(ledger, project, visit)


def exit_code(ledger: Ledger, project: str | None, visit: str | None = None) -> int:
    """Return 1 if a visit that is shown failed."""
    if project and visit:
        return int(_record(ledger, project, visit).state == State.FAILED)
    projects = [project] if project else ledger.projects()
    return int(any(ledger.counts(name)[State.FAILED] for name in projects))


def console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, lines are not cut short."""
    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr)
    return Console(stderr=stderr, width=240, no_color=True, highlight=False)


def watch(
    ledger: Ledger, project: str | None, visit: str | None, state: str | None, pause: float
) -> int:
    """Show the status again and again, until Ctrl-C; as much of it as there is room for."""
    from rich.live import Live

    where = console()

    def shown() -> RenderableType:
        return table(ledger, project, visit, state, max(1, where.height - FRAME))

    with Live(shown(), console=where, auto_refresh=False) as live:
        while True:
            time.sleep(pause)
            live.update(shown(), refresh=True)


def json_lines(
    ledger: Ledger, project: str | None, visit: str | None, state: str | None
) -> Iterator[str]:
    """Yield what ``--format json`` prints."""
    if project and visit is None:
        yield from status.project_lines(ledger, project, _states(state))
        return
    found: Any
    if project and visit:
        found = status.visit_json(_record(ledger, project, visit))
    else:
        lines = [status.summary(ledger, name) for name in ledger.projects()]
        found = [status.summary_json(line) for line in lines]
    yield json.dumps(found, indent=2) + "\n"


def table(
    ledger: Ledger,
    project: str | None,
    visit: str | None,
    state: str | None,
    room: int | None = None,
) -> RenderableType:
    """Return what the terminal shows.

    Parameters
    ----------
    room
        Most visits of a project to show: those that something happens to come first.
        None shows all, by id.
    """
    if project is None:
        return _projects(ledger)
    if visit is None:
        line = status.summary(ledger, project)
        return _project(line, ledger, project, state, room)
    return _visit(_record(ledger, project, visit))


def _states(state: str | None) -> list[State]:
    return [State(state)] if state else list(State)


def _record(ledger: Ledger, project: str, visit: str) -> Record:
    entry = ledger.get(Visit(project, visit))
    if entry is None:
        raise UsageError(
            f"{project}/{visit} was never enqueued",
            hint=f"see 'icfqueue status {project}'",
        )
    return entry.record


def _projects(ledger: Ledger) -> RenderableType:
    shown = Table("project", "visits", *(state.value for state in State), "size", "DICOMs")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in ledger.projects():
        line = status.summary(ledger, name)
        counts = [_count(state, line.counts[state]) for state in State]
        shown.add_row(
            cell(name),
            str(line.visits),
            *counts,
            decimal(line.tar_bytes),
            str(line.read_dicoms),
        )
    if not shown.rows:
        return Text("Nothing was enqueued yet: try 'icfqueue run PROJECT'.")
    return shown


def _count(state: State, count: int) -> Text:
    return Text(str(count), style=COLOURS[state] if count else "dim")


def counts_line(line: status.ProjectSummary) -> Text:
    """Return the counts of a project in one line."""
    text = cell(f"{line.project}: {line.visits} visits  ")
    for state, count in line.counts.items():
        if count:
            text.append(f"  {count} {state.value}", style=COLOURS[state])
    return text


def _project(
    line: status.ProjectSummary,
    ledger: Ledger,
    project: str,
    state: str | None,
    room: int | None,
) -> RenderableType:
    shown = Table("visit", "state", "step", "tries", "DICOMs", "size", "time", "worker")
    shown.add_column("error", overflow="ellipsis")
    for column in ("tries", "DICOMs", "size", "time"):
        next(c for c in shown.columns if c.header == column).justify = "right"
    wanted = _states(state)
    for record in _shown_first(ledger, project, wanted, room):
        shown.add_row(
            *(_unreadable(record) if isinstance(record, Unreadable) else _line(record))
        )
    left = sum(line.counts[one] for one in wanted) - len(shown.rows)
    if room is None or left <= 0:
        return Group(counts_line(line), shown)
    return Group(counts_line(line), shown, Text(f"… and {left} more", style="dim"))


def _shown_first(
    ledger: Ledger, project: str, wanted: list[State], room: int | None
) -> list[Record | Unreadable]:
    """Return the records to show; of a long project no more are read than have room."""
    if room is None:
        return list(status.found_of(ledger, project, wanted))
    chosen: list[Visit] = []
    for state in BY_INTEREST:
        if state in wanted and len(chosen) < room:
            chosen += ledger.visits(project, [state])[: room - len(chosen)]
    found = (entry for entry in ledger.get_many(chosen) if entry)
    return [entry.record if isinstance(entry, Entry) else entry for entry in found]


def _unreadable(found: Unreadable) -> list[str | Text]:
    return [
        found.visit.id,
        Text(status.UNREADABLE, style="red"),
        *[""] * 6,
        Text(f"{error_of(found)['message']}; {error_of(found)['hint']}"),
    ]


def _line(record: Record) -> list[str | Text]:
    seconds = status.worked_seconds(record)
    error = record.error or {}
    message = " ".join(error.get("message", "").split())
    if len(message) > MESSAGE_WIDTH:
        message = message[: MESSAGE_WIDTH - 1] + "…"
    return [
        record.visit.id,
        Text(record.state.value, style=COLOURS[record.state]),
        "" if record.state == State.DONE else record.step,
        str(record.attempts),
        "" if record.dicoms is None else str(record.dicoms),
        "" if record.tar_bytes is None else decimal(record.tar_bytes),
        "" if seconds is None else f"{seconds:.1f} s",
        cell(status.last_worker(record)),
        cell(f"{error['type']}: {message}" if error else ""),
    ]


def _visit(record: Record) -> RenderableType:
    head = Text(f"{record.visit}  ")
    head.append(record.state.value, style=COLOURS[record.state])
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("queued", status.iso(record.queued_at)),
        ("started", status.iso(record.started_at)),
        ("finished", status.iso(record.finished_at)),
        ("next try", status.iso(record.due)),
        ("tarball", f"{record.tar_bytes} bytes" if record.tar_bytes is not None else None),
        ("MD5", record.tar_md5),
        ("DICOMs", None if record.dicoms is None else str(record.dicoms)),
        *((record.refs or {}).items()),
    ):
        if value:
            facts.add_row(cell(name), cell(value))
    steps = Table("step", "state", "tries", "time", "worker")
    for name, step in zip(NAMES, record.steps, strict=True):
        seconds = "" if step.seconds is None else f"{step.seconds:.2f} s"
        worker = cell(step.worker or "")
        steps.add_row(name, cell(step.state), str(step.attempts), seconds, worker)
    parts: list[RenderableType] = [head, facts, steps]
    if record.error:
        error = record.error
        parts.append(
            cell(f"{error['kind']} {error['type']} in {error['step']}", style="red")
        )
        parts.append(cell(error["message"]))
        parts.append(cell(error["hint"]))
    return Group(*parts)


def _csv(ledger: Ledger, project: str | None, visit: str | None, state: str | None) -> None:
    if project is None:
        lines = [status.summary_json(status.summary(ledger, n)) for n in ledger.projects()]
        rows = [line | line.pop("counts") for line in lines]
        names = ["project", *State, "tar_bytes", "read_bytes", "read_dicoms"]
    else:
        if visit:
            rows = [status.visit_row(_record(ledger, project, visit))]
        else:
            records = status.found_of(ledger, project, _states(state))
            rows = [status.visit_row(record) for record in records]
        names = list(status.CSV_FIELDS)
    print_csv(names, rows)
