"""The guard that a worker keeps over a step: lease, progress, stalls, stopping.

A thread renews the lease and writes the progress about once a second. It calls the work
off when the lease is lost, when the step makes no progress for longer than it may, or
when the worker has been stopping for longer than the grace period; the step notices at
its next safe point, and git and git-annex are killed so that it gets there.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Self

import redis

from icfqueue.core.errors import Interrupted, LeaseLost, Stalled, StepError, Withdrawn
from icfqueue.core.guard import Answer, Guard
from icfqueue.core.processes.groups import end_group, kill_group
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger

log = logging.getLogger(__name__)

BEAT = 1.0
"""Longest pause between two looks of the thread, in seconds."""

LAST_WORD = 10.0
"""Seconds that a step has to end once it was called off, before the process is given
up: code that hangs in a read of a stale file system reaches no safe point."""


CallOff = StepError | Withdrawn
"""Why a step was called off: it stalls, or the visit is no longer its worker's."""


class _Promise(NamedTuple):
    """Room that this visit was promised.

    Attributes
    ----------
    holder
        The visit and the token of its lease.
    size
        Bytes.
    begun
        Bytes that the step had counted by then.
    """

    holder: tuple[Visit, str]
    size: int
    begun: int


class Stopping:
    """Whether this worker is stopping, as its processes see it.

    Parameters
    ----------
    since
        Gives the time (``time.monotonic``) at which the stop was asked for, or None.
    grace
        Seconds that running steps may go on from then.
    """

    def __init__(
        self, since: Callable[[], float | None] = lambda: None, grace: float = 0.0
    ) -> None:
        self.since = since
        self.grace = grace

    @property
    def asked(self) -> bool:
        """Whether no new work shall be begun."""
        return self.since() is not None

    @property
    def over(self) -> bool:
        """Whether the grace period has passed."""
        since = self.since()
        return since is not None and time.monotonic() > since + self.grace


class Heartbeat(Guard):
    """Holds the leases of one step's visits; used as a context manager.

    Parameters
    ----------
    ledger
        Where the leases are; waits for a broker that is away.
    quick
        The same over a connection that does not wait, for the thread.
    tokens
        Visit to the token of its lease.
    lease
        Seconds that a lease is good for after each renewal.
    stall
        Seconds that the step may go without progress.
    stopping
        Whether the worker is asked to stop.
    lock
        Name and token of a lock that is renewed with the leases, as for a catalog.
    give_up
        Called when the step was called off but does not end; does not return.
    show
        Called at each beat with the bytes that the step has dealt with.
    """

    def __init__(
        self,
        ledger: Ledger,
        quick: Ledger,
        tokens: Mapping[Visit, str],
        *,
        lease: float,
        stall: float,
        stopping: Stopping | None = None,
        lock: tuple[str, str] | None = None,
        give_up: Callable[[CallOff], None] | None = None,
        show: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.ledger = ledger
        self.quick = quick
        self.tokens = dict(tokens)
        self.lease = lease
        self.stall = stall
        self.stopping = stopping or Stopping()
        self.lock = lock
        self.give_up = give_up
        self.show = show
        self.called_off: CallOff | None = None
        self._called_off_at = 0.0
        self._bytes = self._dicoms = 0
        self._moved = time.monotonic()
        self._promised: _Promise | None = None
        self._minded: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._promised:
            # It ends by itself if the broker is away.
            with suppress(redis.RedisError, OSError):
                self.quick.room.release(*self._promised.holder)

    # What the step calls

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        """Note progress; raise if the work was called off."""
        self._bytes += bytes
        self._dicoms += dicoms
        self._moved = time.monotonic()
        self.check()

    def check(self) -> None:
        """Raise if the work was called off."""
        if self.called_off:
            raise self.called_off

    def before_change(self, name: str) -> None:
        """Renew every lease and the lock, and raise unless all are still held."""
        self.check()
        held = self._renew(self.ledger)
        # The broker may have been away for long: the thread may have decided meanwhile.
        self._moved = time.monotonic()
        self.check()
        if not held:
            raise LeaseLost(f"{name} is not published: the lease is lost")

    def promise_room(self, size: int, free: Callable[[], int]) -> Answer:
        """Have `size` bytes promised to this visit, renewed with its lease."""
        ((visit, token),) = self.tokens.items()
        room = self.ledger.room
        answer = room.promise(visit, token, size, free(), self.lease)
        if not answer.granted:
            return answer
        # Who ended between the look at the disk and the promise is in neither.
        if size and size + answer.others > free():
            room.release(visit, token)
            return answer._replace(granted=False)
        self._promised = _Promise((visit, token), size, self._bytes)
        return answer

    @contextmanager
    def minding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Kill `process` and its group when the work is called off."""
        self._minded.append(process)
        try:
            self.check()
            yield
        except BaseException:
            end_group(process)
            raise
        finally:
            self._minded.remove(process)

    # What the thread does

    def _beat(self) -> None:
        pause = min(BEAT, self.lease / 3)
        renewed = -self.lease
        while not self._ended.wait(pause):
            now = time.monotonic()
            if self.called_off:
                self._insist(now)
                continue
            if now - renewed >= pause:
                renewed = now
                self.show(self._bytes)
                self._renew_or_call_off()
            if self.called_off:
                continue
            if self.stopping.over:
                self._call_off(Interrupted("the worker is stopping"))
            elif time.monotonic() - self._moved > self.stall:
                self._call_off(
                    Stalled(
                        f"no progress for {self.stall:.0f} s",
                        hint="the step is tried again; the limit is the setting 'stall'",
                    )
                )

    def _renew_or_call_off(self) -> None:
        began = time.monotonic()
        held = True
        try:
            held = self._renew(self.quick)
        except (redis.RedisError, OSError):
            # The broker is away. Nothing is lost by working on: before a file is
            # published the lease is asked for again.
            log.debug("lease not renewed: broker away")
            self._moved = time.monotonic()
        else:
            # A step that waits for a broker that answers late does not stall.
            self._moved += time.monotonic() - began
        if not held:
            self._call_off(LeaseLost("the lease is lost"))

    def _renew(self, ledger: Ledger) -> bool:
        if self.lock and not ledger.locks.renew(*self.lock, self.lease):
            return False
        # Noted at one moment: who looks adds up what came and what is to come.
        moved = self._bytes
        held = ledger.renew_all(self.tokens, self.lease, moved, self._dicoms)
        if held and (promised := self._promised):
            left = max(0, promised.size - (moved - promised.begun))
            ledger.room.keep(*promised.holder, left, self.lease)
        return held

    def _call_off(self, why: CallOff) -> None:
        log.info("step called off: %s", type(why).__name__)
        self._called_off_at = time.monotonic()
        self.called_off = why
        for process in list(self._minded):
            kill_group(process)

    def _insist(self, now: float) -> None:
        for process in list(self._minded):
            kill_group(process)
        if self.give_up and self.called_off and now > self._called_off_at + LAST_WORD:
            self.give_up(self.called_off)
