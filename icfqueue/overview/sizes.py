"""How many bytes a project has, and how many are behind: each visit counted once.

A size comes to be known in three stages: not at all, when it is that of others; announced
by the store, once its download has begun; recorded, once it is here. A sum made of known
ones alone does not change, whatever becomes of the visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from icfqueue.core.steps import FETCH, INDEX_TAR, position
from icfqueue.core.visit import Visit
from icfqueue.overview.estimate import Estimate, Task


@dataclass(frozen=True, slots=True)
class Announced:
    """The size that a store announced of a tarball.

    Attributes
    ----------
    attempt
        Which one it was told in.
    to_move
        Bytes that this attempt moves: all, or what the ones before left.
    earlier
        Most that an attempt before had to move.
    whole
        An attempt was seen that began at the first byte.
    """

    attempt: int
    to_move: int
    earlier: int = 0
    whole: bool = False

    @property
    def size(self) -> int:
        """Return the bytes of the tarball, as far as that is known."""
        return max(self.to_move, self.earlier)


class Sizes:
    """What stores announced of tarballs that are not recorded yet.

    Parameters
    ----------
    listed
        What a store's listing told before, perhaps rounded.
    """

    def __init__(self, listed: Mapping[Visit, int] = MappingProxyType({})) -> None:
        self.listed = listed
        self._announced: dict[Visit, Announced] = {}

    def announce(self, visit: Visit, attempt: int, to_move: int) -> Announced:
        """Note what is left and what was moved, together, of a download.

        What was moved is never older than what is left, and may be newer: so the least
        sum of an attempt is the right one.
        """
        told = self._announced.get(visit)
        if told is None:
            new = Announced(attempt, to_move, whole=attempt <= 1)
        elif told.attempt == attempt:
            new = Announced(attempt, min(told.to_move, to_move), told.earlier, told.whole)
        else:
            new = Announced(attempt, to_move, told.size, told.whole)
        self._announced[visit] = new
        return new

    def recorded(self, visit: Visit) -> None:
        """Note that the size of a visit's tarball stands in its record."""
        self._announced.pop(visit, None)

    def of(self, visit: Visit) -> int | None:
        """Return what was announced, None if nothing was."""
        told = self._announced.get(visit)
        return told.size if told else None

    @property
    def total(self) -> int:
        """Return the bytes of all that are not recorded."""
        return sum(told.size for told in self._announced.values())

    @property
    def certain(self) -> bool:
        """Return whether none is the size of a rest."""
        return all(told.whole for told in self._announced.values())


@dataclass(frozen=True, slots=True)
class Amounts:
    """Bytes of a project.

    Attributes
    ----------
    done
        Behind, each weighed by what its steps take; also those of visits that failed.
    total
        Of all; None while nothing tells them.
    estimated
        Sizes are in it that are not known.
    """

    done: float
    total: float | None
    estimated: bool = False


def amounts(
    estimate: Estimate,
    recorded: int,
    sizes: Sizes,
    running: Sequence[Task],
    waiting: Sequence[Task],
    *,
    count: int,
) -> Amounts:
    """Return the bytes of a project.

    Parameters
    ----------
    recorded
        Bytes of all tarballs whose size is recorded.
    running, waiting
        Visits that are to go on.
    count
        How many wait, of which `waiting` are some.
    """
    times = count / len(waiting) if waiting else 1.0
    unknown = _unknown(running) + times * _unknown(waiting)
    listed = _listed(running) + times * _listed(waiting)
    total = float(recorded + sizes.total) + listed
    if unknown:
        usual = estimate.size_of(Task(FETCH.name))
        if usual is None:
            return Amounts(0.0, None)
        total += unknown * usual
    left = _left(estimate, running) + times * _left(estimate, waiting)
    estimated = bool(unknown or listed) or not sizes.certain
    return Amounts(max(0.0, total - left), total, estimated)


def _unknown(tasks: Iterable[Task]) -> int:
    return sum(task.size is None for task in tasks if task.step == FETCH.name)


def _listed(tasks: Iterable[Task]) -> int:
    return sum(task.size or 0 for task in tasks if task.listed)


def _left(estimate: Estimate, tasks: Iterable[Task]) -> float:
    """Return the bytes that are still to be dealt with, weighed."""
    return sum(
        (estimate.size_of(task) or 0.0) * (1 - estimate.share_done(task))
        for task in tasks
        if position(task.step) <= position(INDEX_TAR.name)
    )
