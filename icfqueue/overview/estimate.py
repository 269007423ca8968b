"""How much time is left: reckoned from what the steps have taken so far.

Pure: nothing is asked here, everything is told. Each step takes a time for each visit and
a time for each byte of its tarball; both are measured (:class:`Pace`). A tarball that is
downloaded so passes twice, each time with a weight of its own. What is left is then dealt
out to the worker processes as the queue does it, visit by visit, so that a large one at
the end counts as what it is: one process's work, while the others are idle.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from icfqueue.core.steps import FETCH, INDEX_TAR, NAMES, UPDATE_CATALOG, position

MEMORY = 0.99
"""Weight of an observation against the one after it: about 100 are remembered."""

LOOKS = 0.995
"""The same of a look at how many processes are at work."""

DOUBT = 0.1
"""Share of their mean by which sizes must differ before they tell what a byte takes."""

PRIOR = 0.01
"""Weight of what is assumed before anything was measured, against one observation."""

SETTLES = 10.0
"""Seconds after which a running step's own pace counts as much as that of all others."""

BETWEEN = 1.0
"""Most seconds between two steps of a process that has work."""

DEALT = 2000
"""Visits up to which they are dealt out one by one; beyond, no single one matters."""

MIB = 1 << 20

_ASSUMED = {
    # Bytes a second, and seconds for each visit.
    "fetch": (50 * MIB, 0.1),
    "index_tar": (300 * MIB, 0.05),
    "write_json": (None, 0.02),
    "export_repo": (None, 0.1),
    "update_catalog": (None, 0.0),
    "cleanup": (None, 0.02),
}
_BYTEWISE = (FETCH.name, INDEX_TAR.name)
_USUAL = 100 * MIB
"""Size at which the assumptions are noted."""


@dataclass(frozen=True, slots=True)
class Task:
    """A visit that is still to go on.

    Attributes
    ----------
    step
        Where it stands.
    size
        Bytes of its tarball; None if that is not known yet.
    here
        The tarball is here: `fetch` moves nothing.
    moved
        Bytes that the running step has dealt with.
    to_move
        Bytes that it deals with in all, if that is not `size`: of a download that goes on.
    seconds
        How long the running step has been at it; None if the visit waits for a worker.
    rate
        Bytes a second that it moves by now: what it took to begin is left out.
    """

    step: str
    size: int | None = None
    here: bool = False
    moved: int = 0
    to_move: int | None = None
    seconds: float | None = None
    rate: float | None = None

    @property
    def moving(self) -> float | None:
        """Seconds for which bytes moved so far; None if none did."""
        if self.rate:
            return self.moved / self.rate
        return self.seconds if self.moved else None


class Pace:
    """What a step takes: seconds as a line over bytes, by least squares.

    Parameters
    ----------
    per_second
        Bytes a second that are assumed at first; None if they do not matter.
    each
        Seconds for each visit that are assumed at first.
    """

    def __init__(self, per_second: float | None, each: float) -> None:
        self.measured = 0.0
        """Observations that count."""
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self.bytewise = per_second is not None
        self._assumed = each + _USUAL / per_second if per_second else each
        self._add(0, each, PRIOR)

    def add(self, size: float, seconds: float) -> None:
        """Note that `size` bytes took `seconds`; what came long ago counts less."""
        for name in ("_n", "_x", "_y", "_xx", "_xy", "measured"):
            setattr(self, name, getattr(self, name) * MEMORY)
        self._add(size, seconds, 1.0)
        self.measured += 1.0

    def _add(self, size: float, seconds: float, weight: float) -> None:
        x = size / _USUAL
        self._n += weight
        self._x += weight * x
        self._y += weight * seconds
        self._xx += weight * x * x
        self._xy += weight * x * seconds

    def line(self, also: Sequence[tuple[float, float]] = ()) -> tuple[float, float]:
        """Return the seconds for each visit, and for each byte.

        Parameters
        ----------
        also
            Bytes and seconds of what is not over yet, and counts for now.
        """
        n, x, y, xx, xy = self._n, self._x, self._y, self._xx, self._xy
        # What was measured once tells more than what is assumed.
        assumed = () if self.measured or also else ((_USUAL, self._assumed),)
        for size, seconds in (*also, *assumed):
            at = size / _USUAL
            n, x, y, xx, xy = n + 1, x + at, y + seconds, xx + at * at, xy + at * seconds
        # Where sizes hardly differ, the slope is that of the kind of step, not of chance.
        mean, expected = x / n, (y / x if self.bytewise and x else 0.0)
        doubt = n * (DOUBT * mean) ** 2
        slope = (xy - mean * y + doubt * expected) / (xx - mean * x + doubt or 1.0)
        each = y / n - slope * mean
        if slope < 0:
            slope, each = 0.0, y / n
        elif each < 0:
            slope, each = y / x, 0.0
        return each, slope / _USUAL


@dataclass
class Estimate:
    """Reckons how much time is left.

    Attributes
    ----------
    processes
        Worker processes that do the work; None takes the most that were seen at once.
    """

    processes: int | None = None
    _paces: dict[str, Pace] = field(
        default_factory=lambda: {name: Pace(*_ASSUMED[name]) for name in NAMES}
    )
    _sizes: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _used: list[float] = field(default_factory=lambda: [2.0, 2.0])
    _steps: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _most: int = 1
    _catalog: float = 0.0

    # What is told

    def learn(self, step: str, size: int | None, seconds: float) -> None:
        """Note that a step of a visit took so long.

        Parameters
        ----------
        size
            Bytes that it dealt with; those of the tarball, where that is the same.
        """
        if step == UPDATE_CATALOG.name:
            # One writing for many visits, each of which has its time.
            self._catalog = max(seconds, self._catalog * MEMORY)
            return
        self._paces[step].add(size or 0, seconds)
        self._steps = [self._steps[0] * MEMORY + seconds, self._steps[1] * MEMORY + 1.0]

    def learn_size(self, size: int) -> None:
        """Note the size of a tarball that was downloaded, or is: others are taken alike."""
        self._sizes[0] += size
        self._sizes[1] += 1

    def sample(self, running: int, *, lined_up: bool) -> None:
        """Note how many steps are at work at a moment.

        Parameters
        ----------
        lined_up
            Others stand in line: who does nothing is not for want of work.
        """
        self._most = max(self._most, running)
        if lined_up and (running or self._steps[1]):
            # Between two steps a process asks for the next one, which takes its time, too.
            # Before the first step is done, it is for another reason.
            self._used = [
                self._used[0] * LOOKS + min(1.0, running / self.at_once),
                self._used[1] * LOOKS + 1.0,
            ]

    # What is asked

    @property
    def at_once(self) -> int:
        """Steps that can be at work at once."""
        return self.processes or self._most

    def size_of(self, task: Task) -> float | None:
        """Return the bytes of a tarball, by what is known of others if need be."""
        if task.size is not None:
            return float(task.size)
        return self._sizes[0] / self._sizes[1] if self._sizes[1] else None

    def share_done(self, task: Task) -> float:
        """Return which share of a visit's bytes is behind it, steps weighed by their pace.

        0 before anything was read, 1 once it is indexed.
        """
        place = position(task.step)
        if place > position(INDEX_TAR.name):
            return 1.0
        size = self.size_of(task) or 0.0
        part = min(1.0, task.moved / (task.to_move or size)) if size else 0.0
        if task.here:
            return part if place == position(INDEX_TAR.name) else 0.0
        slow, fast = (self._paces[name].line()[1] for name in _BYTEWISE)
        weight = slow / (slow + fast) if slow + fast else 0.5
        if place == position(FETCH.name):
            return weight * part
        return weight + (1 - weight) * part

    def left(
        self, running: Sequence[Task], queued: Sequence[Task], count: int | None = None
    ) -> float | None:
        """Return the seconds that are left, None if nothing tells that yet.

        Parameters
        ----------
        running
            What is at work.
        queued
            What waits for a worker, in the order in which it is served.
        count
            How many wait, if `queued` is only some of them.
        """
        if not running and not queued:
            return 0.0
        lines = self._lines(running)
        known = {*running, *queued}
        if not self._is_known(known, running):
            return None
        tail = self._catalog
        begun = [self._rest(task, lines) for task in running]
        waiting = [self._rest(task, lines) for task in queued]
        free = max(self.at_once, len(running))
        factor = (count / len(queued)) if count and queued else 1.0
        if len(waiting) * factor > max(DEALT, 20 * free):
            together = (sum(begun) + factor * sum(waiting)) / free
            return max(together, *begun, 0.0) + tail
        ends = begun + [0.0] * (free - len(begun))
        heapq.heapify(ends)
        for seconds in waiting:
            heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends) + tail

    def _between(self) -> float:
        """Return the seconds that pass between two steps of a process."""
        used = max(0.05, self._used[0] / self._used[1])
        if not self._steps[1]:
            return 0.0
        return min(BETWEEN, (1 / used - 1) * self._steps[0] / self._steps[1])

    def _is_known(self, tasks: set[Task], running: Sequence[Task]) -> bool:
        """Tell whether the steps with the bytes were measured that are still to be done."""
        fetched = [task for task in tasks if task.step == FETCH.name and not task.here]
        if any(self.size_of(task) is None for task in tasks if not task.here):
            return False
        wanted = FETCH.name if fetched else INDEX_TAR.name
        under_way = any(task.step == wanted and task.moved for task in running)
        measured = any(self._paces[name].measured for name in NAMES[1:-2])
        return under_way or bool(self._paces[FETCH.name].measured if fetched else measured)

    def _lines(self, running: Sequence[Task]) -> dict[str, tuple[float, float]]:
        return {
            name: self._paces[name].line(
                [
                    (task.moved, task.moving)
                    for task in running
                    if task.step == name and task.moving
                ]
                if name in _BYTEWISE
                else ()
            )
            for name in NAMES
        }

    def _rest(self, task: Task, lines: dict[str, tuple[float, float]]) -> float:
        """Return the seconds that a visit still takes of a process."""
        place = position(task.step)
        size = self.size_of(task) or 0.0
        between = self._between()
        total = 0.0
        for index in range(place, len(NAMES)):
            name = NAMES[index]
            if name == UPDATE_CATALOG.name:
                continue
            total += between
            if name == FETCH.name and task.here:
                continue
            each, slope = lines[name]
            whole = each + slope * size
            if index == place and task.seconds is not None:
                total += _to_go(task, whole, size)
            else:
                total += whole
        return total


def _to_go(task: Task, whole: float, size: float) -> float:
    """Return the seconds that a running step still takes.

    Parameters
    ----------
    whole
        Seconds that such a step takes in all.
    """
    seconds = task.seconds or 0.0
    usual = max(whole - seconds, 0.05 * whole)
    moving = task.moving
    if task.step not in _BYTEWISE or not moving:
        return usual
    to_move = task.to_move or size
    usual = whole * max(0.0, 1 - task.moved / to_move) if to_move else usual
    own = moving / task.moved * max(0.0, to_move - task.moved)
    weight = moving / (moving + SETTLES)
    return weight * own + (1 - weight) * usual
