"""A visit's record: where it stands, and how it may go on from there.

The record is the truth, a queue message only a nudge. Every change is a pure function
from one record to the next; :mod:`icfqueue.ledger` writes the result in one atomic step,
or not at all if somebody was faster. The overall state is derived from the steps and
kept nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any

from icfqueue.core.errors import Cancelled, LeaseLost, StepError
from icfqueue.core.options import Identifiers, Options, Outcome
from icfqueue.core.steps import NAMES, Step, ticket_of
from icfqueue.core.visit import Visit
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.ledger.stored import record_json
from icfqueue.ledger.stored.record_json import Unknown


class State(StrEnum):
    """Overall state of a visit; the words are an interface."""

    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    """A worker holds its lease."""
    WAITING = "waiting"
    """A transient failure; tried again when due."""
    DONE = "done"
    """Every step is done."""
    FAILED = "failed"
    """A permanent failure, or too many transient ones."""
    CANCELLED = "cancelled"
    """Withdrawn by a person."""


ACTIVE = (State.QUEUED, State.RUNNING, State.WAITING)
"""States from which a visit goes on by itself."""

PENDING = "pending"
"""State of a step whose turn has not come; the others are those of :class:`State`."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How one step of the visit fared.

    Attributes
    ----------
    state
        ``pending`` or a :class:`State`.
    attempts
        How often a worker began it; one that was interrupted on purpose does not count.
    faults
        How often it failed.
    crashes
        How often its worker vanished.
    seconds
        How long the last attempt took.
    worker
        Who made the last attempt: ``host:pid``.
    """

    state: str = PENDING
    attempts: int = 0
    faults: int = 0
    crashes: int = 0
    seconds: float | None = None
    worker: str | None = None


_LATER = ("fingerprint", "identifiers", "streamed")
_FIELDS_OF_STEP = attrgetter(*StepRecord.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Record:
    """One visit. Times are seconds since 1970; None is not yet, or not now.

    Attributes
    ----------
    visit
        Whose record it is: ``project/visit``.
    options
        What was asked for when it was enqueued.
    priority
        0 to 4, the most urgent (:mod:`icfqueue.core.priority`).
    generation
        Raised whenever the visit is handed out anew or cancelled; a message or worker
        of an older one is ignored.
    steps
        How each step fared, in order.
    queued_at
        When it was last enqueued.
    started_at, finished_at
        When work on it began since then, and when it was done, failed or cancelled.
    due
        When a waiting visit is tried again.
    began
        When the running attempt began.
    fingerprint
        Inode, size (bytes), mtime and ctime (ns) of the tarball that was read; None if
        that is not known, as after a step by an older release.
    streamed
        Its tarball is read as it comes from the store; False also if that is not known.
    unknown
        Fields of a newer release, kept for it.
    token
        Proof of the lease, known to its holder alone; empty if nobody holds it.
    tar_bytes, tar_md5, dicoms
        Size of the tarball, its MD5 in hex, and how many DICOM files it holds.
    refs
        Ref name to commit, as in the deposit.
    error
        The last error: step, kind, type, message and hint.
    identifiers
        What of a person the tarball would publish; None if nobody looked. No value.
    """

    visit: Visit
    options: Options
    priority: int = 0
    generation: int = 1
    steps: tuple[StepRecord, ...] = (StepRecord(),) * len(NAMES)
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    due: float | None = None
    began: float | None = None
    token: str = ""
    tar_bytes: int | None = None
    tar_md5: str | None = None
    dicoms: int | None = None
    refs: dict[str, str] | None = None
    error: dict[str, str] | None = None
    fingerprint: tuple[int, int, int, int] | None = None
    identifiers: Identifiers | None = None
    streamed: bool = False
    unknown: Unknown | None = None

    @property
    def position(self) -> int:
        """Index of the step the visit stands at; ``len(NAMES)`` when it is done."""
        left = (place for place, s in enumerate(self.steps) if s.state != State.DONE)
        return next(left, len(NAMES))

    @property
    def step(self) -> str:
        """Name of the step the visit stands at; of the last one when it is done."""
        return NAMES[min(self.position, len(NAMES) - 1)]

    @property
    def ticket(self) -> Step:
        """The step by whose messages the visit is served."""
        return ticket_of(self.step, streamed=self.streamed)

    @property
    def state(self) -> State:
        """Overall state: that of the step the visit stands at."""
        position = self.position
        return State.DONE if position == len(NAMES) else State(self.steps[position].state)

    @property
    def active(self) -> bool:
        """Whether the visit goes on by itself."""
        return self.state in ACTIVE

    @property
    def attempts(self) -> int:
        """The most attempts that any step took."""
        return max(step.attempts for step in self.steps)

    @property
    def begun(self) -> bool:
        """Whether any step is done: such visits go before the others."""
        return self.position > 0

    def at(self, **changes: Any) -> Record:
        """Return the record with `changes` to the step the visit stands at."""
        position = self.position
        steps = list(self.steps)
        steps[position] = replace(steps[position], **changes)
        return replace(self, steps=tuple(steps))

    def with_size(self, size: int) -> Record:
        """Return the record with the size (bytes) of the tarball, if it may have that."""
        return replace(self, tar_bytes=size if 0 <= size < record_json.MOST else None)

    def to_json(self) -> str:
        """Return the record as every release reads it; ValueError if none could."""
        fields = {name: getattr(self, name) for name in record_json.PLAIN}
        steps = [list(_FIELDS_OF_STEP(step)) for step in self.steps]
        return record_json.write(self.visit, self.options, steps, fields, self.unknown)

    def more_json(self, version: str) -> str:
        """Return what older releases do not read; empty if there is nothing.

        Parameters
        ----------
        version
            The one that the record gets when this is written.
        """
        own = {name: getattr(self, name) for name in _LATER}
        return record_json.write_more(version, self.options, own, self.unknown)

    @classmethod
    def from_json(
        cls,
        text: str | bytes,
        visit: Visit | None = None,
        more: str | None = None,
        version: str = "",
    ) -> Record:
        """Return the record that :meth:`to_json` and :meth:`more_json` gave the texts of.

        Parameters
        ----------
        visit
            Whose record it is, where that is known.

        Raises
        ------
        UnreadableRecord
            It is not what it must be.
        """
        read = record_json.read(text, visit, more, version)
        fields = {name: getattr(read.known, name) for name in record_json.PLAIN}
        fields |= {name: getattr(read.more, name, None) for name in _LATER}
        fields["streamed"] = bool(fields["streamed"])
        return cls(
            visit=visit or Visit.parse(read.known.visit),
            options=read.known.options,
            steps=tuple(
                StepRecord(s.state, s.attempts, s.faults, s.crashes, s.seconds, s.worker)
                for s in read.known.steps
            ),
            unknown=read.unknown,
            **fields,
        )


def new(visit: Visit, options: Options, priority: int, now: float) -> Record:
    """Return the record of a visit that is enqueued for the first time."""
    return Record(visit, options, priority=priority, queued_at=now).at(state=State.QUEUED)


def enqueued(record: Record, options: Options, priority: int, now: float) -> Record:
    """Return the record of a known visit that is enqueued again, from the first step."""
    fresh = new(record.visit, options, priority, now)
    # What is known of the tarball: unless it has changed, it need not be read again.
    kept = record if record.fingerprint else fresh
    found = None if options.force else kept.identifiers
    fresh = replace(fresh, generation=record.generation + 1, identifiers=found)
    return replace(fresh, fingerprint=kept.fingerprint, tar_md5=kept.tar_md5)


def resumed(record: Record, now: float) -> Record:
    """Return the record of a visit that goes on from the step where it stopped.

    What was tried stays visible in `attempts`; faults and crashes are forgiven.
    """
    changed = replace(
        record,
        generation=record.generation + 1,
        token="",
        error=None,
        due=None,
        began=None,
        queued_at=now,
        # As after being enqueued: times follow one another.
        started_at=None,
        finished_at=None,
    )
    return changed.at(state=State.QUEUED, faults=0, crashes=0)


def cancelled(record: Record, now: float) -> Record:
    """Return the record of a visit that a person withdrew."""
    changed = replace(
        record,
        generation=record.generation + 1,
        token="",
        due=None,
        began=None,
        finished_at=_ended(record, now),
    )
    return changed.at(state=State.CANCELLED)


def claimable(record: Record, step: str, generation: int) -> bool:
    """Return whether a message for `step` and `generation` is current."""
    current = record.generation == generation and record.state == State.QUEUED
    return current and record.ticket.name == step


def claimed(record: Record, token: str, worker: str, now: float) -> Record:
    """Return the record of a queued visit that `worker` begins to work on."""
    current = record.steps[record.position]
    # Older releases took the time of each machine.
    started = record.started_at or max(now, record.queued_at or now)
    changed = replace(record, token=token, began=now, started_at=started)
    return changed.at(state=State.RUNNING, attempts=current.attempts + 1, worker=worker)


def check_held(record: Record, token: str, generation: int) -> None:
    """Raise unless `token` is the lease of this generation.

    Raises
    ------
    Cancelled
        The visit was cancelled or handed out anew.
    LeaseLost
        The lease ran out and the visit went back to the queue.
    """
    if record.generation != generation:
        raise Cancelled(f"{record.visit} was cancelled or enqueued anew")
    if not token or record.token != token:
        raise LeaseLost(f"the lease of {record.visit} ran out; another worker may have it")


_TOLD = ("tar_bytes", "tar_md5", "dicoms", "refs", "fingerprint", "identifiers")


def finished(record: Record, outcome: Outcome, now: float) -> Record:
    """Return the record after the running step succeeded; the next one is queued."""
    if outcome.streamed:
        # What is known of a file that was here before tells nothing of this one.
        record = replace(record, streamed=True, fingerprint=None, tar_md5=None)
    changed = replace(
        record,
        token="",
        began=None,
        error=None,
        **{name: told for name in _TOLD if (told := getattr(outcome, name)) is not None},
    ).at(state=State.DONE, seconds=_seconds(record, now))
    if changed.position == len(NAMES):
        return replace(changed, finished_at=_ended(record, now))
    return changed.at(state=State.QUEUED)


def failed(
    record: Record, error: StepError, decision: Fail | RetryIn, now: float
) -> Record:
    """Return the record after the running step failed."""
    current = record.steps[record.position]
    seconds = _seconds(record, now)
    changed = replace(record, token="", began=None, error=error.to_dict())
    if error.identifiers is not None:
        changed = replace(changed, identifiers=error.identifiers)
    if isinstance(decision, RetryIn):
        changed = replace(changed, due=now + decision.seconds)
        return changed.at(state=State.WAITING, faults=current.faults + 1, seconds=seconds)
    changed = replace(changed, finished_at=_ended(record, now))
    return changed.at(state=State.FAILED, faults=current.faults + 1, seconds=seconds)


def postponed(record: Record, error: StepError | None, due: float) -> Record:
    """Return the record of a visit put off through no fault of its own.

    The attempt does not count: the disk is full for everybody, or the store is resting.
    """
    current = record.steps[record.position]
    told = error.to_dict() if error else record.error
    changed = replace(record, token="", began=None, due=due, error=told)
    return changed.at(state=State.WAITING, attempts=max(0, current.attempts - 1))


def given_back(record: Record) -> Record:
    """Return the record of a visit whose worker is stopping; no attempt is counted."""
    current = record.steps[record.position]
    changed = replace(record, token="", began=None)
    return changed.at(state=State.QUEUED, attempts=max(0, current.attempts - 1))


def due_again(record: Record) -> Record:
    """Return the record of a waiting visit whose time has come."""
    return replace(record, due=None).at(state=State.QUEUED)


def orphaned(record: Record) -> Record:
    """Return the record of a running visit whose lease ran out: queued again."""
    current = record.steps[record.position]
    changed = replace(record, token="", began=None)
    return changed.at(state=State.QUEUED, crashes=current.crashes + 1)


def _seconds(record: Record, now: float) -> float:
    return round(max(0.0, now - (record.began or now)), 4)


def _ended(record: Record, now: float) -> float:
    """Return `now`, or when the visit began if that is later by another clock."""
    return max(now, record.started_at or 0.0, record.queued_at or 0.0)
