"""Recovers work: a look over the ledger, every second, by one worker at a time.

Redelivery by the broker cannot be trusted to do it (it is slow, comes too often or not
at all), so a visit whose worker vanished is found by its lease, one whose retry is due
by its time, and one whose message was lost by counting.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from icfqueue.broker.queues import Queues
from icfqueue.broker.refusals import Outage, is_away
from icfqueue.core import steps
from icfqueue.core.errors import Crashed
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import Fail
from icfqueue.pipeline.catalog_schedule import send_flush
from icfqueue.pipeline.messages import Messages

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds between two looks."""

LEADER = "supervisor"
"""Name of the lock that the active supervisor holds."""

FLUSH_AGAIN = 30.0
"""Seconds after which an unanswered message to write a catalog is sent again."""

VERY_LATE = 12
"""Times its patience after which a supervisor no longer trusts the number of messages."""


_AWAY = (redis.ConnectionError, redis.TimeoutError, OSError)
"""Errors of a call that say the broker cannot be reached; others are answers."""


@dataclass
class Supervisor:
    """Looks after the visits of one broker.

    Attributes
    ----------
    ledger
        Over a connection that does not wait: a look that fails is made again.
    patience
        Seconds after which a queued visit without a message is suspected; also the
        time between two looks at a queue, four times that if nothing was lost.
    """

    ledger: Ledger
    messages: Messages
    queues: Queues
    settings: Settings
    patience: float = 5.0
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _leads: bool = False
    _outage: Outage = field(default_factory=lambda: Outage("supervisor"))
    _blind_until: float = 0.0
    _next_count: dict[str, float] = field(default_factory=dict)
    _next_compared: dict[str, float] = field(default_factory=dict)

    def run(self, stop: threading.Event, every: Callable[[], None] = lambda: None) -> None:
        """Look every :data:`TICK` seconds until `stop` is set; never raises.

        Parameters
        ----------
        every
            Called at each look, whoever is active.
        """
        while not stop.wait(TICK):
            try:
                every()
                if self.leads():
                    self.look()
                self._outage.over()
            except Exception as error:
                if _of_broker(error):
                    self._note(error)
                else:
                    # Whatever it is, the next look may do better: it must not end.
                    log.exception("supervisor: unexpected error")
        if self._leads:
            with suppress(redis.RedisError, OSError):
                self.ledger.locks.release(LEADER, self.token)

    def _note(self, error: Exception) -> None:
        """Take note of a look that failed for the broker's sake."""
        self._leads = False
        if isinstance(error, OSError) or is_away(error):
            self._blind_until = time.monotonic() + self.settings.lease
        self._outage.note(error)

    def leads(self) -> bool:
        """Return whether this one is active; take over from one that vanished."""
        got = self.ledger.locks.take(LEADER, self.token, min(10.0, self.settings.lease))
        if got and not self._leads:
            log.info("supervisor.active")
        self._leads = got
        return got

    def look(self) -> None:
        """Send on every visit that does not go on by itself."""
        self.send_due()
        self.recover()
        self.flush()
        for queue in steps.QUEUES:
            try:
                self.send_lost(queue)
            except Exception as error:
                if _of_broker(error):
                    raise
                # The other queues are not to suffer.
                log.exception("supervisor: unexpected error about the queue %s", queue)

    def send_due(self) -> None:
        """Send on waiting visits whose time has come."""
        ready = []
        for visit in self.ledger.due():
            changed = self.ledger.update(
                visit,
                lambda found: (
                    record.due_again(found) if found.state == State.WAITING else None
                ),
            )
            if changed:
                ready.append(changed)
        self._send(ready)

    def recover(self) -> None:
        """Send on running visits whose lease ran out, or fail those that kill workers."""
        visits = self.ledger.orphans()
        if not visits or self.ledger.uptime() < self.settings.lease:
            # After an outage of the broker live workers first renew their leases.
            return
        if time.monotonic() < self._blind_until:
            # A broker that was only out of reach, or stood still, has not restarted.
            return
        orphans = []
        for visit in visits:
            changed = self.ledger.update(visit, self._orphaned, orphan=True)
            if changed is None:
                continue
            log.warning(
                "visit.orphaned %s %s state=%s",
                visit,
                changed.step,
                changed.state,
                extra={
                    "action": "visit.orphaned",
                    "project": visit.project,
                    "visit": visit.id,
                    "step": changed.step,
                },
            )
            if changed.state == State.QUEUED:
                orphans.append(changed)
                if changed.step == steps.UPDATE_CATALOG.name:
                    self.ledger.flush_now(visit.project)
        self._send(orphans)

    def _orphaned(self, found: Record) -> Record | None:
        if found.state != State.RUNNING:
            return None
        changed = record.orphaned(found)
        current = changed.steps[changed.position]
        if current.crashes < self.settings.max_crashes:
            return changed
        error = Crashed(
            f"{found.step} took down its worker {current.crashes} times, "
            f"last on {current.worker}",
            hint="look for that time in the worker's and the node's log (out of memory?); "
            "then 'icfqueue retry'",
        ).at(project=found.visit.project, visit=found.visit.id, step=found.step)
        return record.failed(found.at(crashes=current.crashes), error, Fail(), time.time())

    def flush(self) -> None:
        """Have the catalogs written whose time has come."""
        for project in self.ledger.flushes_due():
            if send_flush(self.ledger, self.messages, project):
                self.ledger.delay_flush(project, FLUSH_AGAIN)
            else:
                self.ledger.flushed(project, FLUSH_AGAIN)

    def send_lost(self, queue: str) -> None:
        """Send again what should be in `queue` and is not.

        Kombu takes a message off the list and notes it as unacknowledged in two
        commands; a worker killed in between loses it. If fewer messages wait than visits
        are queued, and some for longer than `patience`, the queue is compared with the
        records. Messages that say nothing any more count as well; so it is also compared,
        less often, if visits are queued for very long. A
        message that a worker has prefetched looks lost too: a second one does no harm,
        the first to arrive claims the visit.
        """
        now = time.monotonic()
        if now < self._next_count.get(queue, 0.0):
            return
        self._next_count[queue] = now + self.patience
        late = self.ledger.unsent(queue, self.patience)
        if not late:
            return
        if self.queues.depth(queue) >= self.ledger.queued_count(queue):
            # No visit may be lost, or stale messages make up for it.
            if now < self._next_compared.get(queue, 0.0):
                return
            if not self.ledger.unsent(queue, VERY_LATE * self.patience, 1):
                return
        waiting = set(self.queues.waiting(queue))
        lost = [visit for visit in late if str(visit) not in waiting]
        # Reading a long queue takes a while; it gets at most a fiftieth of the time.
        end = time.monotonic()
        pause = max(VERY_LATE * self.patience, 50 * (end - now))
        self._next_compared[queue] = end + pause
        if not lost:
            self._next_count[queue] = now + 4 * self.patience
            return
        log.warning("messages.lost queue=%s count=%d: sent again", queue, len(lost))
        self._send([entry.record for entry in self._entries(lost)], again=True)

    def _entries(self, visits: list[Visit]) -> list[Entry]:
        return [
            entry
            for entry in self.ledger.get_many(visits)
            if entry and entry.record.state == State.QUEUED
        ]

    def _send(self, records: list[Record], *, again: bool = False) -> None:
        queued = [found for found in records if found.step != steps.UPDATE_CATALOG.name]
        if not queued:
            return
        if again:
            self.messages.send_again(queued)
        else:
            self.messages.send_many(queued)


def _of_broker(error: Exception) -> bool:
    return isinstance(error, redis.RedisError | OSError) or is_away(error)
