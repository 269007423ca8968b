"""A project at a moment: what is at work, what waits, how much is done. Plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icfqueue.core.steps import FETCH
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import ACTIVE, State
from icfqueue.ledger.roster import Sign
from icfqueue.overview.estimate import Task


@dataclass(frozen=True, slots=True)
class AtWork:
    """A step that is being worked on.

    Attributes
    ----------
    worker
        ``host:pid``.
    seconds
        Since it began.
    moved, to_move
        Bytes that it has dealt with, and deals with in all; None if that is not known.
    size
        Bytes of the tarball, of which a download that goes on moves the rest; None if it
        is what is moved, or is not known.
    here
        Its visit's tarball need not be downloaded.
    rate
        Bytes a second since the first ones moved; None before that can be told.
    """

    visit: Visit
    step: str
    worker: str
    seconds: float
    moved: int = 0
    to_move: int | None = None
    here: bool = False
    rate: float | None = None
    size: int | None = None

    @property
    def task(self) -> Task:
        """What is left of the visit, for the estimate."""
        to_move = self.to_move
        return Task(
            self.step,
            self.size or to_move,
            self.here,
            self.moved,
            to_move,
            self.seconds,
            self.rate,
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """The next visit that is tried again.

    Attributes
    ----------
    seconds
        Until then; below 0 if it is due.
    error
        Its own last error, as its record has it.
    """

    visit: Visit
    seconds: float
    error: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A project at a moment.

    Attributes
    ----------
    counts
        Visits by state.
    lined_up
        Visits that wait for a worker, by the step that they stand at.
    at_work
        Visits that are worked on, by step; all of a catalog that is written are.
    running
        The same one by one, if there are not too many.
    rates
        Bytes a second of the steps that deal with bytes, all workers together, while any
        worker was at them.
    done, total
        Bytes, each weighed by what its steps take; `total` is None while it is unknown.
    estimated
        Sizes that are not known yet are in `total`, by what is known of others.
    manned
        Whether any worker lives: where none does, what is between two steps waits like
        all others.
    dicoms
        DICOM files in the tarballs that were indexed.
    left
        Seconds, None while nothing tells.
    retry
        The next one.
    signs
        Of the workers that live, as they last told.
    """

    project: str
    counts: Mapping[State, int]
    lined_up: Mapping[str, int]
    at_work: Mapping[str, int]
    running: Sequence[AtWork]
    rates: Mapping[str, float]
    done: float
    total: float | None
    dicoms: int
    left: float | None
    retry: Retry | None
    signs: Sequence[Sign] = ()
    estimated: bool = False
    manned: bool = True

    @property
    def elsewhere(self) -> int:
        """Return how many processes work for other projects."""
        return sum(job.project != self.project for sign in self.signs for job in sign.jobs)

    @property
    def processes(self) -> int:
        """Return how many processes the workers have."""
        return sum(sign.processes for sign in self.signs)

    @property
    def visits(self) -> int:
        """Return the number of all."""
        return sum(self.counts.values())

    @property
    def queued(self) -> int:
        """Return how many have not begun; what is between two steps has."""
        return self.lined_up[FETCH.name] if self.manned else sum(self.lined_up.values())

    @property
    def under_way(self) -> int:
        """Return how many are worked on, or between two steps."""
        return self.counts[State.RUNNING] + sum(self.lined_up.values()) - self.queued

    @property
    def active(self) -> int:
        """Return how many go on by themselves."""
        return sum(self.counts[state] for state in ACTIVE)

    @property
    def drained(self) -> bool:
        """Whether nothing is left to be done."""
        return self.active == 0
