"""What the queue says of a project: when its visits were done, how fast, why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from icfqueue.core.causes import CAUSES, UNKNOWN
from icfqueue.ledger.record import Record, State


@dataclass(frozen=True, slots=True)
class Effort:
    """A visit that is done: bytes of its tarball, seconds of all its steps, and when."""

    visit: str
    tar_bytes: int
    seconds: float
    finished_at: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.tar_bytes / max(self.seconds, 1e-3)


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed visits of one cause: how many, one of them, and what to do."""

    cause: str
    count: int
    example: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Work:
    """The records of a project, summed up.

    Attributes
    ----------
    counts
        Visits by state, of those that there are.
    efforts
        By the time when they were done.
    failures
        The most frequent cause first.
    """

    counts: dict[str, int] = field(default_factory=dict)
    efforts: list[Effort] = field(default_factory=list)
    failures: list[Failures] = field(default_factory=list)


def work_of(records: Iterable[Record]) -> Work:
    """Return what `records`, all of one project, say."""
    counts: Counter[str] = Counter()
    efforts: list[Effort] = []
    failed: dict[str, list[str]] = {}
    for record in records:
        counts[record.state.value] += 1
        if record.state == State.FAILED:
            cause = (record.error or {}).get("cause", UNKNOWN)
            failed.setdefault(cause, []).append(record.visit.id)
        elif record.state == State.DONE and record.finished_at is not None:
            seconds = sum(step.seconds or 0.0 for step in record.steps)
            efforts.append(
                Effort(record.visit.id, record.tar_bytes or 0, seconds, record.finished_at)
            )
    efforts.sort(key=lambda one: (one.finished_at, one.visit))
    groups = [_failures(cause, visits) for cause, visits in failed.items()]
    groups.sort(key=lambda group: (-group.count, group.cause))
    ordered = {state.value: counts[state.value] for state in State if counts[state.value]}
    return Work(ordered, efforts, groups)


def _failures(cause: str, visits: list[str]) -> Failures:
    known = CAUSES.get(cause)
    meaning, remedy = (known.meaning, known.remedy) if known else ("", "")
    return Failures(cause, len(visits), min(visits), meaning, remedy)
