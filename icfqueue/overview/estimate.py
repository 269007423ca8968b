"""How much time is left: reckoned from what the steps have taken so far.

Pure: nothing is asked here, everything is told. Each step takes a time for each visit and
a time for each byte of its tarball; both are measured (:class:`Pace`). A tarball that is
downloaded so passes twice, each time with a weight of its own. What is left is then dealt
out to the worker processes as the queue does it, visit by visit, so that a large one at
the end counts as what it is: one process's work, while the others are idle.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from icfqueue.core.steps import FETCH, INDEX_TAR, NAMES, UPDATE_CATALOG, position
from icfqueue.overview.pace import BYTEWISE, MEMORY, MIB, Pace

LOOKS = 0.995
"""Weight of a look at how many processes are at work, against the one after it."""

SETTLES = 10.0
"""Seconds after which a running step's own pace counts as much as that of all others."""

BETWEEN = 1.0
"""Most seconds between two steps of a process that has work."""

DEALT = 2000
"""Visits up to which they are dealt out one by one; beyond, no single one matters."""

DRAWS = 16
"""How often sizes that are not known are drawn from those that are."""

DRAWN = 100
"""Visits without a size up to which they are; of more their mean is as good."""

REMEMBERED = 500
"""Sizes that are drawn from."""

_ASSUMED = {
    # Bytes a second, and seconds for each visit.
    "fetch": (50 * MIB, 0.1),
    "index_tar": (300 * MIB, 0.05),
    "write_json": (None, 0.02),
    "export_repo": (None, 0.1),
    "update_catalog": (None, 0.0),
    "cleanup": (None, 0.02),
}


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
    wait
        Seconds for which nobody begins it: until it is tried again.
    listed
        The size is that of a listing, and may be rounded.
    """

    step: str
    size: int | None = None
    here: bool = False
    moved: int = 0
    to_move: int | None = None
    seconds: float | None = None
    rate: float | None = None
    wait: float = 0.0
    listed: bool = False

    @property
    def moving(self) -> float | None:
        """Seconds for which bytes moved so far; None if none did."""
        if self.rate:
            return self.moved / self.rate
        return self.seconds if self.moved else None


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
    _seen: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
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
        self._seen.append(size)

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
        # A download that goes on has the rest alone to move.
        to_come = (task.to_move or size) - task.moved
        part = min(1.0, max(0.0, 1 - to_come / size)) if size else 0.0
        if task.here:
            return part if place == position(INDEX_TAR.name) else 0.0
        slow, fast = (self._paces[name].line()[1] for name in BYTEWISE)
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
        begun = [self._rest(task, lines) for task in running]
        # Who is tried again later lets the others go first.
        waiting = sorted(queued, key=lambda task: task.wait)
        free = max(self.at_once, len(running))
        factor = (count / len(queued)) if count and queued else 1.0
        if len(waiting) * factor > max(DEALT, 20 * free):
            rests = [(task.wait, self._rest(task, lines)) for task in waiting]
            together = (sum(begun) + factor * sum(rest for _, rest in rests)) / free
            last = max((wait + rest for wait, rest in rests if wait), default=0.0)
            return max(together, last, *begun) + self._catalog
        ends = begun + [0.0] * (free - len(begun))
        found = [
            _dealt(ends, [(task.wait, self._rest(task, lines)) for task in drawn])
            for drawn in self._drawn(waiting)
        ]
        return sum(found) / len(found) + self._catalog

    def _drawn(self, tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
        """Yield `tasks` with sizes as they may turn out to be.

        Processes that wait for the last, large one take longer than sizes that are all
        alike would have it.
        """
        unknown = sum(task.size is None for task in tasks)
        if not 0 < unknown <= DRAWN or not self._seen:
            yield tasks
            return
        dice = random.Random(0)  # noqa: S311 - no secret, and the same at each look
        for _ in range(DRAWS):
            yield [
                task
                if task.size is not None
                else replace(task, size=dice.choice(self._seen))
                for task in tasks
            ]

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
                if name in BYTEWISE
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


def _dealt(ends: Sequence[float], waiting: Iterable[tuple[float, float]]) -> float:
    """Return when the last of the processes has nothing left to do.

    Parameters
    ----------
    ends
        Seconds for which each of them is at what it does now.
    waiting
        When each visit can be begun at the earliest, and how long it takes.
    """
    heap = list(ends)
    heapq.heapify(heap)
    for wait, rest in waiting:
        heapq.heapreplace(heap, max(heap[0], wait) + rest)
    return max(heap)


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
    if task.step not in BYTEWISE or not moving:
        return usual
    to_come = max(0.0, (task.to_move or size) - task.moved)
    usual = whole * min(1.0, to_come / size) if size else usual
    own = moving / task.moved * to_come
    weight = moving / (moving + SETTLES)
    return weight * own + (1 - weight) * usual
