"""Where everything stands: the records, as a person or a program wants to read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from icfqueue.core.causes import UNKNOWN
from icfqueue.core.options import identifiers_json
from icfqueue.core.plain_text import for_store
from icfqueue.core.steps import FETCH, NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import ACTIVE, PENDING, Record, State
from icfqueue.ledger.stored.indexes import totals
from icfqueue.overview.failures import error_of

MOST = 12
"""Causes that are named where another one was asked for."""

UNREADABLE = "unreadable"
"""Shown in place of a state where a record cannot be read."""


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """A project in one line; what it costs does not depend on the number of visits.

    Attributes
    ----------
    counts
        Visits per state, all six.
    tar_bytes, read_bytes
        Size of all tarballs known, and of those that were indexed.
    read_dicoms
        DICOM files in the tarballs that were indexed.
    lined_up
        Visits that are queued, by the step that they stand at.
    """

    project: str
    counts: dict[State, int]
    tar_bytes: int
    read_bytes: int
    read_dicoms: int
    lined_up: dict[str, int] = field(default_factory=dict)

    @property
    def visits(self) -> int:
        return sum(self.counts.values())

    @property
    def active(self) -> int:
        """Visits that go on by themselves."""
        return sum(self.counts[state] for state in ACTIVE)

    @property
    def between(self) -> int:
        """Visits that have begun and are queued for their next step."""
        return sum(self.lined_up.values()) - self.lined_up.get(FETCH.name, 0)

    @property
    def drained(self) -> bool:
        """Whether nothing is left to be done."""
        return self.active == 0


def summary(ledger: Ledger, project: str) -> ProjectSummary:
    """Return the line of one project."""
    sums = ledger.totals(project)
    counts, lined_up = ledger.on_the_way(project)
    return ProjectSummary(
        project,
        counts,
        sums["tar_bytes"],
        sums["read_bytes"],
        sums["read_dicoms"],
        lined_up,
    )


def summary_of(ledger: Ledger, project: str, among: Collection[Visit]) -> ProjectSummary:
    """Return the line of some visits of a project; reads each of their records.

    What cannot be read counts as what the indexes say of it.
    """
    counts = dict.fromkeys(State, 0)
    sums, lined_up = dict.fromkeys(totals(None), 0), dict.fromkeys(NAMES, 0)
    unread: set[Visit] = set()
    for entry in ledger.get_many(among):
        if isinstance(entry, Unreadable):
            unread.add(entry.visit)
        elif entry:
            record = entry.record
            counts[record.state] += 1
            if record.state == State.QUEUED:
                lined_up[record.step] += 1
            for name, value in totals(record).items():
                sums[name] += value
    for state in State if unread else ():
        counts[state] += len(unread.intersection(ledger.visits(project, [state])))
    return ProjectSummary(project, counts, lined_up=lined_up, **sums)


def anybody(ledger: Ledger) -> bool:
    """Return whether any worker lives."""
    # Workers of the release before are in the second list alone.
    return bool(ledger.roster.signs() or ledger.workers())


def counts_of(line: ProjectSummary, *, workers: bool) -> dict[State, int]:
    """Return the visits by state as a person means it.

    Parameters
    ----------
    workers
        Whether anybody works: what is between two steps then counts as running. Where
        nobody does, it waits like all others.
    """
    between = line.between if workers else 0
    counts = dict(line.counts)
    counts[State.QUEUED] -= between
    counts[State.RUNNING] += between
    return counts


def summary_json(found: ProjectSummary, *, workers: bool) -> dict[str, Any]:
    """Return the line of one project for ``status --format json``.

    Parameters
    ----------
    workers
        As for :func:`counts_of`.
    """
    counts = counts_of(found, workers=workers)
    return {
        "project": found.project,
        "counts": {state.value: count for state, count in counts.items()},
        "tar_bytes": found.tar_bytes,
        "read_bytes": found.read_bytes,
        "read_dicoms": found.read_dicoms,
    }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which visits of a project are asked for.

    Attributes
    ----------
    states
        In one of these states.
    causes
        Whose last error has one of these causes; empty if that does not matter.
    among
        These alone; None for all.
    """

    states: tuple[State, ...] = tuple(State)
    causes: Collection[str] = ()
    among: Collection[Visit] | None = None

    def only(self, *states: State) -> Wanted:
        """Return the same, in some of the states."""
        return replace(self, states=tuple(one for one in self.states if one in states))


EVERYTHING = Wanted()


def project_lines(
    ledger: Ledger, project: str, wanted: Wanted = EVERYTHING, root: str = ""
) -> Iterator[str]:
    """Yield what ``status PROJECT --format json`` prints, a line for each visit.

    Indented JSON takes five times as long to write, which shows from 10,000 visits on;
    and so that 100,000 visits need not be in memory at once.
    """
    line = summary(ledger, project)
    found = counts_of(line, workers=anybody(ledger))
    counts = {state.value: count for state, count in found.items()}
    yield f'{{"project": {json.dumps(project)},\n "counts": {json.dumps(counts)},\n'
    before = ' "visits": [\n  '
    for entry in found_of(ledger, project, wanted):
        yield f"{before}{json.dumps(visit_json(entry, root))}"
        before = ",\n  "
    yield ' "visits": []}\n' if before[0] == " " else "\n ]}\n"


def found_of(
    ledger: Ledger, project: str, wanted: Wanted = EVERYTHING
) -> Iterator[Record | Unreadable]:
    """Yield the records of `project` that are `wanted`, by visit id, in batches."""
    states = set(wanted.states)
    if wanted.causes:
        # What is done has no error; most visits need not be read.
        states.discard(State.DONE)
    visits = ledger.visits(project, states) if states else []
    if wanted.among is not None:
        chosen = set(wanted.among)
        visits = [visit for visit in visits if visit in chosen]
    for entry in ledger.get_many(visits):
        if entry is None:
            continue
        found = entry.record if isinstance(entry, Entry) else entry
        if not wanted.causes or _cause_of(found) in wanted.causes:
            yield found


def no_such_cause(ledger: Ledger, project: str, wanted: Wanted) -> str:
    """Return that no visit has one of the causes `wanted`, and which causes there are."""
    asked = " or ".join(f"'{cause}'" for cause in wanted.causes)
    if wanted.states == (State.FAILED,):
        none = f"failed by {asked}"
    elif len(wanted.states) == 1:
        none = f"is {wanted.states[0]} because of {asked}"
    else:
        none = f"has the cause {asked}"
    which = "no visit" if wanted.among is None else "no visit named"
    all_causes = found_of(ledger, project, replace(wanted, causes=()))
    counts = Counter(cause for one in all_causes if (cause := _cause_of(one)))
    there = ", ".join(f"{cause} ({count})" for cause, count in counts.most_common(MOST))
    if not there:
        return f"{which} of {project} {none}, nor for another cause"
    more = f" and {len(counts) - MOST} more" if len(counts) > MOST else ""
    return f"{which} of {project} {none}; there are: {there}{more}"


def _cause_of(found: Record | Unreadable) -> str | None:
    """Return the cause of a visit's last error; None if it has none."""
    error = error_of(found) if isinstance(found, Unreadable) else found.error
    return error.get("cause", UNKNOWN) if error else None


def unreadable(ledger: Ledger, project: str) -> list[Unreadable]:
    """Return what of `project` cannot be read; reads every record."""
    return [one for one in found_of(ledger, project) if isinstance(one, Unreadable)]


def stuck(
    ledger: Ledger, project: str, among: Collection[Visit] | None = None
) -> list[Unreadable]:
    """Return the active visits of `project` if none of them can be read, else nothing.

    Nothing is done for them by this release, so that they are not to be waited for.

    Parameters
    ----------
    among
        Visits that are looked at; None for all.
    """
    found = []
    for one in found_of(ledger, project, Wanted(ACTIVE, among=among)):
        if not isinstance(one, Unreadable):
            return []
        found.append(one)
    return found


def visit_json(record: Record | Unreadable, root: str = "") -> dict[str, Any]:
    """Return one entry of ``visits``; times are ISO 8601 in UTC, sizes bytes.

    Parameters
    ----------
    root
        The store directory, of which files are named in hints.
    """
    if isinstance(record, Unreadable):
        return _unreadable_json(record)
    return {
        "visit": record.visit.id,
        "state": record.state.value,
        "step": record.step,
        "attempts": record.attempts,
        "queued_at": iso(record.queued_at),
        "started_at": iso(record.started_at),
        "finished_at": iso(record.finished_at),
        "dicoms": record.dicoms,
        "tar_bytes": record.tar_bytes,
        "refs": record.refs or {},
        **identifiers_json(record.identifiers, iso),
        "steps": [
            {
                "step": name,
                "state": step.state,
                "attempts": step.attempts,
                "seconds": step.seconds,
                "worker": step.worker,
            }
            for name, step in zip(NAMES, record.steps, strict=True)
        ],
        "error": _error_json(record.error, root),
    }


def _error_json(error: dict[str, str] | None, root: str) -> dict[str, str] | None:
    """Return the error of a visit, with a hint that can be pasted."""
    if not (error and root and error.get("hint")):
        return error
    return error | {"hint": for_store(error["hint"], root)}


def _unreadable_json(found: Unreadable) -> dict[str, Any]:
    """Return an entry of ``visits`` of which nothing is known but why."""
    pending = {"state": PENDING, "attempts": 0, "seconds": None, "worker": None}
    return {
        "visit": found.visit.id,
        "state": UNREADABLE,
        "step": "",
        "attempts": 0,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "dicoms": None,
        "tar_bytes": None,
        "refs": {},
        **identifiers_json(None, iso),
        "steps": [{"step": name, **pending} for name in NAMES],
        "error": error_of(found),
    }


CSV_FIELDS = (
    "visit",
    "state",
    "step",
    "attempts",
    "dicoms",
    "tar_bytes",
    "seconds",
    "worker",
    "queued_at",
    "started_at",
    "finished_at",
    "error_kind",
    "error_type",
    "error_message",
    "error_cause",
    "identifiers",
)


def visit_row(record: Record | Unreadable) -> dict[str, Any]:
    """Return one line of ``status PROJECT --format csv``."""
    if isinstance(record, Unreadable):
        error = error_of(record)
        return dict.fromkeys(CSV_FIELDS, "") | {
            "visit": record.visit.id,
            "state": UNREADABLE,
            **{
                f"error_{name}": error[name]
                for name in ("kind", "type", "message", "cause")
            },
        }
    error = record.error or {}
    return {
        "visit": record.visit.id,
        "state": record.state.value,
        "step": record.step,
        "attempts": record.attempts,
        "dicoms": record.dicoms,
        "tar_bytes": record.tar_bytes,
        "seconds": worked_seconds(record),
        "worker": last_worker(record),
        "queued_at": iso(record.queued_at),
        "started_at": iso(record.started_at),
        "finished_at": iso(record.finished_at),
        "error_kind": error.get("kind", ""),
        "error_type": error.get("type", ""),
        "error_message": error.get("message", ""),
        "error_cause": error.get("cause", ""),
        "identifiers": " ".join(record.identifiers.kinds) if record.identifiers else "",
    }


def worked_seconds(record: Record) -> float | None:
    """Return the seconds of all steps together, waits left out."""
    spent = [step.seconds for step in record.steps if step.seconds is not None]
    return round(sum(spent), 3) if spent else None


def last_worker(record: Record) -> str:
    """Return who made the last attempt."""
    workers: Sequence[str] = [step.worker for step in record.steps if step.worker]
    return workers[-1] if workers else ""


def iso(seconds: float | None) -> str | None:
    """Return a time (seconds since 1970) as ISO 8601 in UTC, or None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
