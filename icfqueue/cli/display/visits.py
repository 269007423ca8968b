"""Visits as lines under each other, and one visit with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from icfqueue.cli.display.amounts import amount, duration
from icfqueue.cli.display.columns import Columns
from icfqueue.cli.display.fitting import Column
from icfqueue.cli.display.terminal import COLOURS, Line, cell, to_paste
from icfqueue.cli.shell.again import ours, whole
from icfqueue.core.causes import CAUSES
from icfqueue.core.steps import NAMES
from icfqueue.ledger.ledger import Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.operations import status
from icfqueue.overview.failures import NOT_BY_RETRY, error_of

_COLOURS = {state.value: colour for state, colour in COLOURS.items()}


def visit_columns(below_lines: int | None = None) -> Columns:
    """Return the table of visits, without a line; the least important goes first."""
    return Columns(
        [
            Column("visit"),
            Column("state"),
            Column("step", 90),
            Column("so far", 85, right=True),
            Column("next try", 80, right=True),
            Column("tries", 40, right=True),
            Column("DICOMs", 50, right=True),
            Column("size", 70, right=True),
            Column("time", 60, right=True),
            Column("worker", 30),
        ],
        below_lines,
    )


def add_visits(
    shown: Columns,
    found: Iterable[Record | Unreadable],
    *,
    now: float,
    progress: Mapping[str, tuple[int, int]],
    errors: bool = True,
) -> None:
    """Add a line for each visit, its error below.

    Parameters
    ----------
    now
        The server's time, in seconds since 1970.
    progress
        Bytes and DICOMs that running steps have dealt with, by visit id.
    errors
        Whether the errors are shown.
    """
    for record in found:
        if isinstance(record, Unreadable):
            error = error_of(record)
            state = cell(status.UNREADABLE, "red")
            below = [cell(error["message"], "red"), cell(whole(error["hint"]), "dim")]
            nothing = [""] * (len(shown.columns) - 2)
            shown.add(record.visit.id, state, *nothing, below=below if errors else ())
            continue
        dealt = progress.get(record.visit.id, (0, 0))[0]
        running = record.state == State.RUNNING
        shown.add(
            record.visit.id,
            cell(record.state.value, COLOURS[record.state]),
            "" if record.state == State.DONE else record.step,
            amount(dealt) if running and dealt else "",
            "" if record.due is None else _until(record.due - now),
            str(record.attempts or ""),
            "" if record.dicoms is None else str(record.dicoms),
            amount(record.tar_bytes),
            duration(status.worked_seconds(record)),
            status.last_worker(record),
            below=_lines_below(record) if errors else (),
        )


def visit_alone(record: Record) -> RenderableType:
    """Return all that is known of one visit."""
    head = cell(f"{record.visit}  ")
    head.append(record.state.value, style=COLOURS[record.state])
    streamed = "streamed" if record.streamed else ""
    facts = {
        **_begin(record),
        "finished": status.iso(record.finished_at),
        "next try": status.iso(record.due),
        "tarball": " ".join(filter(None, (_exactly(record.tar_bytes), streamed))),
        "MD5": record.tar_md5,
        "DICOMs": None if record.dicoms is None else str(record.dicoms),
        **(record.refs or {}),
        "identifiers": _identifiers(record),
    }
    known = {name: value for name, value in facts.items() if value}
    width = max(map(len, known), default=0)
    told = [to_paste(f"{name:<{width}}  {value}") for name, value in known.items()]
    steps = Columns(
        [
            Column("step"),
            Column("state"),
            Column("tries", 50, right=True),
            Column("time", 60, right=True),
            Column("worker", 40),
        ]
    )
    for name, step in zip(NAMES, record.steps, strict=True):
        state = cell(step.state, _COLOURS.get(step.state, "dim"))
        tries, time = str(step.attempts or ""), _precisely(step.seconds)
        steps.add(name, state, tries, time, step.worker or "")
    return Group(Line(head), *told, Text(), steps, *_error_alone(record))


def _begin(record: Record) -> dict[str, str | None]:
    """Return when the visit was enqueued and begun, as these followed one another."""
    queued, started = status.iso(record.queued_at), status.iso(record.started_at)
    if started and queued and (record.started_at or 0.0) < (record.queued_at or 0.0):
        # A release before this one kept the first begin of a visit that is tried again.
        return {"first started": started, "queued again": queued}
    return {"queued": queued, "started": started}


def _lines_below(record: Record) -> list[Text]:
    """Return what is said below the line of a visit: its error, or that it is flagged."""
    if record.error:
        return [_error_line(record)]
    if record.identifiers:
        return [cell(f"identifiers: {_identifiers(record)}", "yellow")]
    return []


def _identifiers(record: Record) -> str:
    """Return what was found of a person, and who accepted that; empty for nothing."""
    found = record.identifiers
    if not found:
        return ""
    by = found.accepted_by
    accepted = f", accepted by {by} at {status.iso(found.accepted_at)}" if by else ""
    return f"{found.words()}{accepted}"


def _error_line(record: Record) -> Text:
    error = record.error or {}
    return cell(f"{_cause(error)}: {error['message']}", _style(record))


def _error_alone(record: Record) -> list[RenderableType]:
    """Return the error of one visit: what it is, what was found, what to do."""
    error = record.error
    if not error:
        return []
    cause = _cause(error)
    known = CAUSES.get(cause)
    told = f": {known.meaning}" if known else ""
    head = cell(f"{cause}{told}", f"bold {_style(record)}")
    head.append(cell(f"  ({error['kind']} {error['type']} in {error['step']})", "dim"))
    parts: list[RenderableType] = [Text(), Line(head), Line(cell(error["message"]))]
    if error["hint"]:
        parts.append(Line(cell(whole(error["hint"]))))
    said = "icfqueue retry" in error["hint"]
    if record.state == State.FAILED and cause not in NOT_BY_RETRY and not said:
        command = ours("retry", record.visit.project, record.visit.id)
        parts.append(to_paste(f"then: {command}"))
    return parts


def _cause(error: Mapping[str, str]) -> str:
    return error.get("cause") or error["type"]


def _style(record: Record) -> str:
    return "red" if record.state == State.FAILED else "yellow"


def _until(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def _exactly(size: int | None) -> str:
    if size is None or amount(size).endswith("bytes"):
        return amount(size)
    return f"{amount(size)} ({size} bytes)"


def _precisely(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 1 else duration(seconds)
