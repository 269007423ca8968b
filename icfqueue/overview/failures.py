"""Failures grouped by cause: 37 visits that failed alike are one thing to do.

Records are read in batches and none is kept, so that a project may have 100,000 visits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from icfqueue.core.causes import CAUSES, UNKNOWN
from icfqueue.core.errors import UnreadableRecord
from icfqueue.core.plain_text import for_visit
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import State

UNREADABLE = "unreadable"
"""Cause of a visit whose record cannot be read."""

PATTERNS = 100
"""Ways to fail that are told apart within one cause, to find the one that is typical."""

NOT_BY_RETRY = frozenset(
    {
        "bug",
        "changed",
        "deposit",
        "foreign",
        "identifiers",
        "metadata",
        "unknown",
        UNREADABLE,
    }
)
"""Causes for which to go on from the failed step does not help, whatever is done before."""


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Visits that failed for one cause.

    Attributes
    ----------
    cause
        A code of :data:`icfqueue.core.causes.CAUSES`, or of a newer release.
    count
        How many visits.
    example_visit
        Id of a typical one: the first of those that failed in the commonest way.
    message, hint
        What was found in that one, and the remedy for it alone.
    remedy
        What to do about all of them, in a few words.
    visits
        Ids, in order.
    transient
        Whether trying again later can help without anything else being done.
    due
        When the first of them is tried again (seconds since 1970); None for those that
        failed for good.
    """

    cause: str
    count: int
    example_visit: str
    message: str
    hint: str
    remedy: str
    visits: list[str]
    transient: bool
    due: float | None = None

    @property
    def retry_helps(self) -> bool:
        """Whether ``icfqueue retry`` can help, at once or once the remedy was applied."""
        return self.cause not in NOT_BY_RETRY


@dataclass(slots=True)
class _Gathered:
    """What is known of a cause while records are read."""

    visits: list[str] = field(default_factory=list)
    patterns: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    due: float | None = None

    def add(self, visit: str, error: dict[str, str], due: float | None) -> None:
        if due is not None:
            self.due = due if self.due is None else min(due, self.due)
        self.visits.append(visit)
        pattern = _pattern(visit, error.get("message", ""))
        if pattern in self.patterns or len(self.patterns) < PATTERNS:
            self.patterns[pattern] += 1
            self.first.setdefault(pattern, (visit, error))

    def group(self, project: str, cause: str) -> CauseGroup:
        ((pattern, _),) = self.patterns.most_common(1)
        visit, error = self.first[pattern]
        hint = error.get("hint", "")
        known = CAUSES.get(cause) if cause != UNKNOWN else None
        remedy = known.remedy if known else hint or CAUSES[UNKNOWN].remedy
        return CauseGroup(
            cause=cause,
            count=len(self.visits),
            example_visit=visit,
            message=error.get("message", ""),
            hint=hint,
            remedy=for_visit(remedy, project, visit),
            visits=self.visits,
            transient=error.get("kind") == "transient",
            due=self.due,
        )


def by_cause(
    ledger: Ledger,
    project: str,
    states: Iterable[State] = (State.FAILED,),
    *,
    among: Iterable[Visit] | None = None,
) -> list[CauseGroup]:
    """Return why visits of `project` failed, the commonest cause first.

    Parameters
    ----------
    states
        Visits in these states; with :attr:`State.WAITING`, why they wait.
    among
        Visits that are looked at instead; those without an error are left out.
    """
    gathered: dict[str, _Gathered] = {}
    wanted = ledger.visits(project, states) if among is None else among
    for entry in ledger.get_many(wanted):
        if entry and (error := _error(entry)):
            cause = error.get("cause") or UNKNOWN
            due = entry.record.due if isinstance(entry, Entry) else None
            gathered.setdefault(cause, _Gathered()).add(_visit(entry).id, error, due)
    groups = [found.group(project, cause) for cause, found in gathered.items()]
    return sorted(groups, key=lambda group: (-group.count, group.cause))


def error_of(found: Unreadable) -> dict[str, str]:
    """Return a record that cannot be read as the error of its visit."""
    return {
        "step": "",
        "kind": "permanent",
        "type": UnreadableRecord.__name__,
        "cause": UNREADABLE,
        "message": f"its record cannot be read: {found.why}",
        "hint": found.hint or f"'icfqueue forget {found.visit.project} {found.visit.id}'",
    }


def _error(entry: Entry | Unreadable) -> dict[str, str]:
    """Return the last error of a visit; empty if there is none."""
    if isinstance(entry, Entry):
        return entry.record.error or {}
    return error_of(entry)


def _visit(entry: Entry | Unreadable) -> Visit:
    return entry.record.visit if isinstance(entry, Entry) else entry.visit


def _pattern(visit: str, message: str) -> str:
    """Return what messages that say the same of different visits have in common."""
    return re.sub(r"\d+", "0", message.replace(visit, "VISIT"))
