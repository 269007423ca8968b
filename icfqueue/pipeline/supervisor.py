"""Recovers work: a look over the ledger, twice a second, by one worker at a time.

Redelivery by the broker cannot be trusted to do it (it is slow, comes too often or not
at all), so a visit whose worker vanished is found by its lease, one whose retry is due
by its time, and one whose message was lost by counting.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from icfqueue.broker.queues import Queues, lists
from icfqueue.broker.refusals import Outage, is_away
from icfqueue.core import steps
from icfqueue.core.errors import Crashed, NewerLayout, UnreadableRecord
from icfqueue.core.plain_text import shown
from icfqueue.core.priority import LEVELS
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Change, Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import Fail
from icfqueue.ledger.stored.indexes import place_of
from icfqueue.ledger.stored.spoilt import is_spoilt
from icfqueue.pipeline.catalog_schedule import (
    FLUSH_AGAIN,
    batch_size,
    note_failure,
    send_flush,
)
from icfqueue.pipeline.messages import Messages
from icfqueue.pipeline.step_log import say

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds between two looks."""

LEADS = 10.0
"""Seconds, at most, after which another takes over from one that vanished."""

LEADER = "supervisor"
"""Name of the lock that the active supervisor holds."""

COUNT = 1.0
"""Seconds between two counts of a queue's messages."""

ADOPT = 15.0
"""Seconds between two looks for what workers of the release before have queued."""

CLOCK_STEP = 5.0
"""Seconds from which on a difference of clocks is a step, and no slow answer."""

SET_ASIDE = 60.0
"""Seconds for which a visit is not looked at whose record cannot be read."""

STUCK = 5.0
"""The same for a visit for which nothing could be done."""


@dataclass
class Supervisor:
    """Looks after the visits of one broker.

    Attributes
    ----------
    ledger
        Over a connection that does not wait: a look that fails is made again.
    patience
        Seconds after which a message that is in no queue is taken for lost.
    refused
        Called when the broker's data are those of a newer release: no look follows.
    """

    ledger: Ledger
    messages: Messages
    queues: Queues
    settings: Settings
    patience: float = 5.0
    refused: Callable[[], None] = lambda: None
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _leads: bool = False
    _outage: Outage = field(default_factory=lambda: Outage("supervisor"))
    _blind_until: float = 0.0
    _next_count: dict[str, float] = field(default_factory=dict)
    _adopted: dict[str, int] = field(default_factory=dict)
    _next_adoption: dict[str, float] = field(default_factory=dict)
    _aside: dict[Visit, float] = field(default_factory=dict)

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
            except redis.ResponseError as error:
                self._mend_after(error)
            except NewerLayout as error:
                log.warning("worker stops: %s; %s", error.message, error.hint)
                self.refused()
                return
            except Exception as error:
                if _of_broker(error):
                    self._note(error)
                else:
                    # Whatever it is, the next look may do better: it must not end.
                    log.exception("supervisor: unexpected error")
        if self._leads:
            with suppress(redis.RedisError, OSError):
                self.ledger.locks.release(LEADER, self.token)

    def _mend_after(self, error: redis.ResponseError) -> None:
        """Have the keys mended of which the broker said that they are not ours."""
        if not is_spoilt(error):
            self._note(error)
            return
        log.warning("supervisor: the broker answered %s", shown(error))
        with suppress(redis.RedisError, OSError):
            self.ledger.mend()
            self.queues.mend()

    def _note(self, error: Exception) -> None:
        """Take note of a look that failed for the broker's sake."""
        self._leads = False
        if isinstance(error, OSError) or is_away(error):
            self._blind_until = time.monotonic() + self.settings.lease
        self._outage.note(error)

    def leads(self) -> bool:
        """Return whether this one is active; take over from one that vanished."""
        seconds = min(LEADS, self.settings.lease)
        got = self.ledger.locks.take(LEADER, self.token, seconds, longest=LEADS)
        if got and not self._leads:
            if self._outage.since is None:
                log.info("supervisor.active")
            # What only gives a wrong picture nobody meets.
            self.ledger.mend(met=False)
        self._leads = got
        return got

    def look(self) -> None:
        """Send on every visit that does not go on by itself."""
        if self.ledger.unmended():
            log.warning("supervisor: indexes are made anew from the records")
            self.ledger.mend()
        self.follow_clock()
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

    def follow_clock(self) -> None:
        """Notice that the server's clock was set, and keep its times right."""
        step = self.ledger.clock_stepped()
        if abs(step) > CLOCK_STEP:
            log.warning("the broker's clock was set by %+.0f s", step)
        if step > CLOCK_STEP:
            # Every lease seems over: live workers first renew theirs.
            self._blind_until = time.monotonic() + self.settings.lease
        elif step < -CLOCK_STEP:
            self.ledger.shift_times(step)
        self.ledger.cut_leases(self.settings.lease)

    def send_due(self) -> None:
        """Send on waiting visits whose time has come."""
        ready = []
        for visit in self.ledger.due(without=self._set_aside()):
            changed = self._update(
                visit, lambda r: record.due_again(r) if r.state == State.WAITING else None
            )
            if changed:
                ready.append(changed)
        self._send(ready)

    def recover(self) -> None:
        """Send on running visits whose lease ran out, or fail those that kill workers."""
        visits = self.ledger.orphans(without=self._set_aside())
        if not visits or self.ledger.uptime() < self.settings.lease:
            # After an outage of the broker live workers first renew their leases.
            return
        if time.monotonic() < self._blind_until:
            # A broker that was only out of reach, or stood still, has not restarted.
            return
        orphans = []
        gathered: Counter[str] = Counter()
        for visit in visits:
            changed = self._update(visit, self._orphaned, orphan=True)
            if changed is None:
                continue
            say(
                "visit.orphaned",
                visit,
                changed.step,
                level=logging.WARNING,
                state=changed.state,
            )
            if changed.state == State.QUEUED:
                orphans.append(changed)
                if changed.step == steps.UPDATE_CATALOG.name:
                    gathered[visit.project] += 1
        for project, count in gathered.items():
            note_failure(self.ledger, project, count)
            self.ledger.flush_now(project)
        self._send(orphans)

    def _orphaned(self, found: Record) -> Record | None:
        if found.state != State.RUNNING:
            return None
        project = found.visit.project
        if found.step == steps.UPDATE_CATALOG.name and batch_size(self.ledger, project) > 1:
            # Which visit of a batch took down its worker, if any, shows when it is alone.
            return record.given_back(found)
        changed = record.orphaned(found)
        current = changed.steps[changed.position]
        if current.crashes < self.settings.max_crashes:
            return changed
        error = Crashed(
            f"{found.step} took down its worker {current.crashes} times, "
            f"last on {current.worker}",
            hint="look for that time in the worker's and the node's log (out of memory?); "
            "then 'icfqueue retry PROJECT VISIT'",
        ).at(project=found.visit.project, visit=found.visit.id, step=found.step)
        now = self.ledger.now()
        return record.failed(found.at(crashes=current.crashes), error, Fail(), now)

    def _update(
        self, visit: Visit, change: Change, *, orphan: bool = False
    ) -> Record | None:
        """Change a record; one for which nothing can be done is not to keep the others."""
        try:
            changed = self.ledger.update(visit, change, orphan=orphan)
        except UnreadableRecord as error:
            log.warning("record.unreadable: %s", error.message)
            self._aside[visit] = time.monotonic() + SET_ASIDE
            return None
        if changed is None:
            self._aside[visit] = time.monotonic() + STUCK
            if self.ledger.get(visit) is None:
                self.ledger.forget(visit, None)
        return changed

    def _set_aside(self) -> set[Visit]:
        """Return the visits that are left alone for a while."""
        now = time.monotonic()
        self._aside = {visit: end for visit, end in self._aside.items() if end > now}
        return set(self._aside)

    def flush(self) -> None:
        """Have the catalogs written whose time has come."""
        for project in self.ledger.flushes_due():
            if send_flush(self.ledger, self.messages, project):
                self.ledger.delay_flush(project, FLUSH_AGAIN)
            else:
                self.ledger.flushed(project, FLUSH_AGAIN)

    def send_lost(self, queue: str) -> None:
        """Send again what should be in `queue` and is not.

        A worker that dies loses the messages that it had taken. Whichever is lost, it is
        a matter of counting: see :mod:`icfqueue.ledger.stored.turns`. A message that a
        worker holds looks lost too: one more does no harm, for whoever draws it serves
        whose turn it is.
        """
        now = time.monotonic()
        if now < self._next_count.get(queue, 0.0):
            return
        self._next_count[queue] = now + COUNT
        counted = self.ledger.turns.count(queue, lists(queue), self.patience)
        if counted.strays:
            self._adopt(queue, now)
        lost = []
        for visit, entry in zip(
            counted.late, self.ledger.get_many(counted.late), strict=True
        ):
            place = place_of(entry.record) if isinstance(entry, Entry) else None
            if isinstance(entry, Entry) and place and place[0] == queue:
                lost.append(entry.record)
            else:
                self._out_of_line(queue, visit)
        if lost:
            log.warning("messages.lost queue=%s count=%d: sent again", queue, len(lost))
            self._send(lost, again=True)

    def _out_of_line(self, queue: str, visit: Visit) -> None:
        """Take a visit out of the lines of a queue in which it is not."""
        for level in LEVELS:
            self.ledger.turns.leave((queue, level), visit)

    def _adopt(self, queue: str, now: float) -> None:
        """Look for what workers of the release before have queued, a part at a time."""
        if now < self._next_adoption.get(queue, 0.0):
            return
        start = self.ledger.turns.adopt(queue, self._adopted.get(queue, 0))
        self._adopted[queue] = start
        if not start:
            self._next_adoption[queue] = now + ADOPT

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
