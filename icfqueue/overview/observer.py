"""Looks at the ledger, and puts together what happens in a project right now.

Two kinds of looks: a quick one for what is at work, whose cost grows with the number of
processes, and a slow one for what waits, whose cost grows with the number of visits and
which is therefore made the more seldom the longer it takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from icfqueue.core.errors import NoRoom
from icfqueue.core.steps import FETCH, NAMES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.roster import Sign
from icfqueue.overview.estimate import Estimate, Task
from icfqueue.overview.pace import BYTEWISE
from icfqueue.overview.picture import AtWork, Picture, Retry
from icfqueue.overview.rates import Flows, Speed
from icfqueue.overview.sizes import Amounts, Sizes, amounts

SLOW_LOOK = 2.0
"""Seconds, at least, between two looks at what waits."""

SPARING = 100
"""How many times as long as a slow look takes it is until the next one."""

MOST_READ = 2000
"""Records that a slow look reads; of more visits those that stand for the others."""

MOST_RUNNING = 500
"""Records of running visits that are read."""

STEADY = 3
"""Looks at what is at work, until nothing changed meanwhile."""

NO_DOWNLOAD = 0.05
"""Seconds of a `fetch` below which nothing was downloaded, if nobody saw it happen."""

NO_LINE = 2e9
"""Bytes a second that no line has: nothing was downloaded."""


@dataclass
class _Waiting:
    """What a slow look found."""

    tasks: dict[Visit, Task] = field(default_factory=dict)
    retries: dict[Visit, Record] = field(default_factory=dict)

    def take(self, record: Record, task: Task) -> None:
        """Note a visit that waits for a worker, or for another try."""
        self.tasks[record.visit] = task
        if record.due is None:
            self.retries.pop(record.visit, None)
        else:
            self.retries[record.visit] = record

    def drop(self, visit: Visit) -> None:
        """Note that a visit does not wait any more."""
        self.tasks.pop(visit, None)
        self.retries.pop(visit, None)


class Observer:
    """Makes pictures of a project, one after the other.

    Parameters
    ----------
    processes
        Worker processes, if that is known; see :class:`Estimate`.
    listed
        Bytes of tarballs that are to come, as a listing tells them; it may round.
    """

    def __init__(
        self,
        ledger: Ledger,
        project: str,
        processes: int | None = None,
        listed: Mapping[Visit, int] = MappingProxyType({}),
    ) -> None:
        self.ledger = ledger
        self.project = project
        self.estimate = Estimate(processes)
        self._own = processes or 0
        self._signs: list[Sign] = []
        self._waiting = _Waiting()
        self._next_slow = 0.0
        self._learned: dict[Visit, int] = {}
        self._downloads: set[Visit] = set()
        self._sized: set[Visit] = set()
        self._warm: set[tuple[str, str]] = set()
        self._speed = Speed()
        self._flows = Flows()
        self._sizes = Sizes(listed)
        self._amounts = Amounts(0.0, None)
        self._at_work: dict[Visit, AtWork] = {}

    def look(self) -> Picture:
        """Return what happens now.

        Raises
        ------
        redis.RedisError
            The broker is away.
        """
        began = time.monotonic()
        if began >= self._next_slow:
            self._look_at_the_waiting()
            took = time.monotonic() - began
            self._next_slow = began + max(SLOW_LOOK, SPARING * took)
        counts, lined_up, totals, steady = self._look_at_work()
        running = list(self._at_work.values())
        self._note_rates(running)
        now = self.ledger.now()
        waiting = [
            self._with_wait(visit, task, now)
            for visit, task in self._waiting.tasks.items()
            if visit not in self._at_work
        ]
        count = counts[State.QUEUED] + counts[State.WAITING]
        tasks = [
            self._sized_task(one.visit, one.task)
            for one in running
            if one.step != UPDATE_CATALOG.name
        ]
        self.estimate.sample(len(tasks), lined_up=counts[State.QUEUED] > 0)
        found = amounts(
            self.estimate, totals["tar_bytes"], self._sizes, tasks, waiting, count=count
        )
        if steady or self._amounts.total is None:
            self._amounts = found
        at_work: dict[str, int] = {}
        for one in running:
            at_work[one.step] = at_work.get(one.step, 0) + 1
        return Picture(
            self.project,
            counts,
            lined_up,
            at_work,
            running,
            self._flows.rates(),
            self._amounts.done,
            self._amounts.total,
            totals["read_dicoms"],
            self.estimate.left(tasks, waiting, count),
            self._retry(counts[State.WAITING], now),
            self._signs,
            self._amounts.estimated,
        )

    def _with_wait(self, visit: Visit, task: Task, now: float) -> Task:
        record = self._waiting.retries.get(visit)
        if record is None or record.due is None:
            return task
        return replace(task, wait=max(0.0, record.due - now))

    # What is at work

    def _look_at_work(
        self,
    ) -> tuple[dict[State, int], dict[str, int], dict[str, int], bool]:
        """Note the running steps; return the counts of that moment.

        Returns
        -------
        tuple
            :meth:`Ledger.on_the_way`, :meth:`Ledger.totals`, and whether nothing changed
            while it was looked at: else a visit may be counted twice, or not at all.
        """
        before = self._counted()
        for _ in range(STEADY):
            self._note_running()
            after = self._counted()
            if after == before:
                return *after, True
            before = after
        return *before, False

    def _counted(self) -> tuple[dict[State, int], dict[str, int], dict[str, int]]:
        counts, lined_up = self.ledger.on_the_way(self.project)
        return counts, lined_up, self.ledger.totals(self.project)

    def _note_running(self) -> None:
        """Note the running steps, and what became of those that were at work before."""
        visits = self.ledger.visits(self.project, [State.RUNNING])
        # In this order: what came may be newer than what is to come, never older.
        to_come = self.ledger.room.promised() if visits else {}
        progress = self.ledger.progress(self.project)
        now = self.ledger.now()
        found: dict[Visit, AtWork] = {}
        # Those that were at work a moment ago tell what they have learned.
        gone = [visit for visit in self._at_work if visit not in set(visits)]
        for entry in self.ledger.get_many([*visits[:MOST_RUNNING], *gone]):
            if not isinstance(entry, Entry):
                continue
            record = entry.record
            self._learn(record)
            if record.state == State.RUNNING:
                moved = progress.get(record.visit.id, (0, 0))[0]
                left = to_come.get(str(record.visit))
                found[record.visit] = self._one(record, moved, left, now)
            elif record.active:
                # Its next step is to come; until the next slow look nobody else says so.
                self._waiting.take(record, self._task(record))
            else:
                self._waiting.drop(record.visit)
        self._at_work = found

    def _one(self, record: Record, moved: int, to_come: int | None, now: float) -> AtWork:
        step, size = record.step, record.tar_bytes
        to_move = size
        if step == FETCH.name and to_come is not None:
            attempt = record.steps[record.position].attempts
            told = self._sizes.announce(record.visit, attempt, moved + to_come)
            to_move, size = told.to_move, size or told.size
            self._learn_size(record.visit, size)
            if record.tar_bytes is not None:
                self._sizes.recorded(record.visit)
        here = record.visit not in self._downloads
        worker = record.steps[record.position].worker or ""
        seconds = max(0.0, now - (record.began or now))
        rate = self._speed.note((record.visit, step), seconds, moved)
        return AtWork(record.visit, step, worker, seconds, moved, to_move, here, rate, size)

    # What waits

    def _look_at_the_waiting(self) -> None:
        """Read the records of what waits, and of what has ended since the last time."""
        self._signs = self.ledger.roster.signs()
        if self._signs:
            others = sum(j.project != self.project for s in self._signs for j in s.jobs)
            processes = sum(sign.processes for sign in self._signs)
            self.estimate.processes = max(self._own, processes - others, 1)
        names = self.ledger.visits(self.project, [State.QUEUED, State.WAITING])
        if not self._learned:
            # What was done before tells what the rest takes.
            done = self.ledger.visits(self.project, [State.DONE])[-100:]
            for entry in self.ledger.get_many(done):
                if isinstance(entry, Entry):
                    self._learn(entry.record)
        else:
            there = set(names)
            gone = [
                visit
                for visit, place in self._learned.items()
                if place < len(NAMES) and visit not in there and visit not in self._at_work
            ]
            self._learn_all(gone[:MOST_READ])
        chosen = names[:: 1 + len(names) // MOST_READ]
        # Who has not begun since the last look is as it was.
        fresh = set(self.ledger.ready(self.project, FETCH.name))
        known = {
            visit: task
            for visit in chosen
            if visit in fresh
            and (task := self._waiting.tasks.get(visit))
            and task.step == FETCH.name
        }
        found = _Waiting(dict.fromkeys(chosen, Task("")))
        found.tasks |= known
        for entry in self.ledger.get_many(visit for visit in chosen if visit not in known):
            if isinstance(entry, Entry) and entry.record.active:
                record = entry.record
                self._learn(record)
                found.take(record, self._task(record))
        # What cannot be read, or has ended meanwhile, is nobody's work.
        found.tasks = {visit: task for visit, task in found.tasks.items() if task.step}
        self._waiting = found

    def _task(self, record: Record) -> Task:
        here = record.visit not in self._downloads
        size = record.tar_bytes or self._sizes.of(record.visit)
        return self._sized_task(record.visit, Task(record.step, size, here=here))

    def _sized_task(self, visit: Visit, task: Task) -> Task:
        """Return `task` with the size of a listing if it has none."""
        size = self._sizes.listed.get(visit) if task.size is None else None
        return task if size is None else replace(task, size=size, listed=True)

    def _retry(self, waiting: int, now: float) -> Retry | None:
        retries = self._waiting.retries
        found = [retries[visit] for visit in retries if visit not in self._at_work]
        if not waiting or not found:
            return None
        next_one = min(found, key=lambda record: record.due or 0.0)
        seconds = (next_one.due or 0.0) - now
        return Retry(next_one.visit, seconds, next_one.error or {})

    # What that tells

    def _learn_all(self, visits: Iterable[Visit]) -> None:
        for entry in self.ledger.get_many(visits):
            if isinstance(entry, Entry):
                self._learn(entry.record)
                if not entry.record.active:
                    # It failed, or was withdrawn: it is not looked for any more.
                    self._learned[entry.record.visit] = len(NAMES)

    def _learn(self, record: Record) -> None:
        """Take note of the steps that were done since this visit was last seen."""
        visit, size = record.visit, record.tar_bytes
        seen = self._learned.get(visit)
        for index in range(seen or 0, record.position):
            name, seconds = NAMES[index], record.steps[index].seconds
            if seconds is None or not self._counts(record, name, seconds):
                continue
            seconds = self._usual(record, index, seconds)
            self.estimate.learn(name, size, seconds)
            # Nothing passed in a `fetch` that only asked.
            asked = name == FETCH.name and record.streamed
            if name in BYTEWISE and size and seen is not None and not asked:
                self._flows.ended(visit, name, size)
        if size is not None:
            self._sizes.recorded(visit)
        self._learned[visit] = max(seen or 0, record.position)
        no_room = (record.error or {}).get("type") == NoRoom.__name__
        if record.step == FETCH.name and (size is None or no_room):
            self._downloads.add(visit)

    def _usual(self, record: Record, index: int, seconds: float) -> float:
        """Return what a step took, without what a worker's first one takes to begin."""
        name, worker = NAMES[index], record.steps[index].worker
        rate = self._speed.forget((record.visit, name))
        if worker is None or (worker, name) in self._warm:
            return seconds
        self._warm.add((worker, name))
        size = record.tar_bytes or 0
        return min(seconds, size / rate) if rate and size else seconds

    def _counts(self, record: Record, name: str, seconds: float) -> bool:
        """Tell whether a step that is done tells what others take."""
        if name != FETCH.name:
            return True
        size = record.tar_bytes or 0
        if record.streamed:
            if size:
                self._learn_size(record.visit, size)
            return True
        least = 0.0 if record.visit in self._downloads else NO_DOWNLOAD
        if seconds < least or size > seconds * NO_LINE:
            return False
        self._learn_size(record.visit, size)
        return True

    def _learn_size(self, visit: Visit, size: int) -> None:
        self._downloads.add(visit)
        if visit not in self._sized:
            self._sized.add(visit)
            self.estimate.learn_size(size)

    def _note_rates(self, running: Iterable[AtWork]) -> None:
        """Add what passed since the last look to what each step has moved."""
        for one in running:
            if one.step in BYTEWISE:
                self._flows.moved(one.visit, one.step, one.moved)
        self._flows.look(time.monotonic(), {one.step for one in running})
