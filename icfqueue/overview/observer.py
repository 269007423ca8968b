"""Looks at the ledger, and puts together what happens in a project right now.

Two kinds of looks: a quick one for what is at work, whose cost grows with the number of
processes, and a slow one for what waits, whose cost grows with the number of visits and
which is therefore made the more seldom the longer it takes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from icfqueue.core.errors import NoRoom
from icfqueue.core.steps import FETCH, INDEX_TAR, NAMES, UPDATE_CATALOG, position
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.roster import Sign
from icfqueue.overview.estimate import Estimate, Task
from icfqueue.overview.picture import AtWork, Picture, Retry

SLOW_LOOK = 2.0
"""Seconds, at least, between two looks at what waits."""

SPARING = 100
"""How many times as long as a slow look takes it is until the next one."""

MOST_READ = 2000
"""Records that a slow look reads; of more visits those that stand for the others."""

MOST_RUNNING = 500
"""Records of running visits that are read."""

WINDOW = 10.0
"""Seconds over which a rate is the mean."""

TELLING = 1.5
"""Seconds after which bytes tell a rate; workers write them about once a second."""

NO_DOWNLOAD = 0.05
"""Seconds of a `fetch` below which nothing was downloaded, if nobody saw it happen."""

NO_LINE = 2e9
"""Bytes a second that no line has: nothing was downloaded."""

_BYTEWISE = (FETCH.name, INDEX_TAR.name)


@dataclass
class _Waiting:
    """What a slow look found."""

    tasks: dict[Visit, Task] = field(default_factory=dict)
    count: int = 0
    retry: Record | None = None


class _Speed:
    """How fast the running steps move, from the first look at which they did."""

    def __init__(self) -> None:
        self._first: dict[tuple[Visit, str], tuple[float, int]] = {}
        self._rates: dict[tuple[Visit, str], float] = {}

    def note(self, who: tuple[Visit, str], seconds: float, moved: int) -> float | None:
        """Note what a step has moved after so many seconds; return its rate so far."""
        since, before = self._first.get(who, (seconds, moved))
        if not before or seconds < since or moved < before:
            # Nothing moved yet, or another try.
            since, before = seconds, moved
            self._rates.pop(who, None)
        self._first[who] = since, before
        if seconds - since >= TELLING:
            self._rates[who] = (moved - before) / (seconds - since)
        return self._rates.get(who) or None

    def forget(self, who: tuple[Visit, str]) -> float | None:
        """Return the last rate of a step that is over."""
        self._first.pop(who, None)
        return self._rates.pop(who, None) or None


class Observer:
    """Makes pictures of a project, one after the other.

    Parameters
    ----------
    processes
        Worker processes, if that is known; see :class:`Estimate`.
    """

    def __init__(self, ledger: Ledger, project: str, processes: int | None = None) -> None:
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
        self._speed = _Speed()
        self._at_work: dict[Visit, AtWork] = {}
        self._past: dict[str, deque[tuple[float, float]]] = {
            name: deque() for name in _BYTEWISE
        }
        self._passed = dict.fromkeys(_BYTEWISE, 0.0)
        self._credited: dict[tuple[Visit, str], int] = {}

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
        counts, lined_up = self.ledger.on_the_way(self.project)
        running, at_work = self._running()
        self._note_rates(running)
        totals = self.ledger.totals(self.project)
        waiting = [
            task
            for visit, task in self._waiting.tasks.items()
            if visit not in self._at_work
        ]
        count = counts[State.QUEUED] + counts[State.WAITING]
        tasks = [one.task for one in running if one.step != UPDATE_CATALOG.name]
        self.estimate.sample(len(tasks), lined_up=counts[State.QUEUED] > 0)
        done, total = self._bytes(totals["read_bytes"], tasks, waiting, count)
        moving = counts[State.RUNNING] + counts[State.QUEUED] > 0
        return Picture(
            self.project,
            counts,
            lined_up,
            at_work,
            running,
            {name: rate for name in _BYTEWISE if (rate := self._rate(name)) > 0},
            done,
            total,
            totals["read_dicoms"],
            self.estimate.left(tasks, waiting, count) if moving else None,
            self._retry(counts[State.WAITING]),
            self._signs,
        )

    # What is at work

    def _running(self) -> tuple[list[AtWork], dict[str, int]]:
        """Return the running steps, and how many visits they are for, by step."""
        visits = self.ledger.visits(self.project, [State.RUNNING])
        progress = self.ledger.progress(self.project)
        to_come = self.ledger.room.promised() if visits else {}
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
            elif record.state == State.QUEUED:
                # Its next step is to come; until the next slow look nobody else says so.
                self._waiting.tasks[record.visit] = self._task(record)
            else:
                self._waiting.tasks.pop(record.visit, None)
        at_work: dict[str, int] = {}
        for one in found.values():
            at_work[one.step] = at_work.get(one.step, 0) + 1
        self._at_work = found
        return list(found.values()), at_work

    def _one(self, record: Record, moved: int, to_come: int | None, now: float) -> AtWork:
        step, size = record.step, record.tar_bytes
        if step == FETCH.name and to_come is not None:
            size = moved + to_come
            self._learn_size(record.visit, size)
        here = record.visit not in self._downloads
        worker = record.steps[record.position].worker or ""
        seconds = max(0.0, now - (record.began or now))
        rate = self._speed.note((record.visit, step), seconds, moved)
        return AtWork(record.visit, step, worker, seconds, moved, size, here, rate)

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
        found = _Waiting(dict.fromkeys(chosen, Task("")), len(names))
        found.tasks |= known
        for entry in self.ledger.get_many(visit for visit in chosen if visit not in known):
            if isinstance(entry, Entry) and entry.record.active:
                record = entry.record
                self._learn(record)
                found.tasks[record.visit] = self._task(record)
                due, retry = record.due, found.retry
                if due is not None and (retry is None or due < (retry.due or 0.0)):
                    found.retry = record
        # What cannot be read, or has ended meanwhile, is nobody's work.
        found.tasks = {visit: task for visit, task in found.tasks.items() if task.step}
        self._waiting = found

    def _task(self, record: Record) -> Task:
        here = record.visit not in self._downloads
        return Task(record.step, record.tar_bytes, here=here)

    def _retry(self, waiting: int) -> Retry | None:
        found = self._waiting.retry
        if not waiting or found is None:
            return None
        seconds = (found.due or 0.0) - self.ledger.now()
        return Retry(found.visit, seconds, found.error or {})

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
            if name in _BYTEWISE and size and seen is not None and not asked:
                self._passed[name] += max(0, size - self._credited.pop((visit, name), 0))
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
        """Add what passed since the last look to the past of each step."""
        now = time.monotonic()
        for one in running:
            if one.step in _BYTEWISE:
                key = (one.visit, one.step)
                self._passed[one.step] += max(0, one.moved - self._credited.get(key, 0))
                self._credited[key] = one.moved
        for name, past in self._past.items():
            past.append((now, self._passed[name]))
            while now - past[0][0] > WINDOW:
                past.popleft()

    def _rate(self, name: str) -> float:
        (since, before), (now, passed) = self._past[name][0], self._past[name][-1]
        return (passed - before) / (now - since) if now > since else 0.0

    def _bytes(
        self, read: int, running: list[Task], waiting: list[Task], count: int
    ) -> tuple[float, float | None]:
        """Return the bytes that are done, and that there are."""
        factor = count / len(waiting) if waiting else 1.0
        done = total = float(read)
        for task, times in (
            *((task, 1.0) for task in running),
            *((task, factor) for task in waiting),
        ):
            if position(task.step) > position(INDEX_TAR.name):
                continue
            size = self.estimate.size_of(task)
            if size is None:
                return done, None
            total += times * size
            done += times * size * self.estimate.share_done(task)
        return done, total
