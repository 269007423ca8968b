"""One attempt at one step: hold the leases, do the work, record the outcome, send on.

Whatever a step raises ends here and becomes an entry in the visit's record; nothing is
swallowed and nothing reaches Celery.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import redis
from msgspec import structs

from icfqueue.broker.refusals import is_away
from icfqueue.core import steps
from icfqueue.core.errors import (
    DiskTrouble,
    Interrupted,
    NoRoom,
    NotSeen,
    PutOff,
    StepError,
    TransientError,
    UnreadableRecord,
    Withdrawn,
)
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome
from icfqueue.core.plain_text import shown
from icfqueue.core.processes import faultpoint
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import PostponeBy, decide
from icfqueue.ledger.roster import JobSign
from icfqueue.ledger.telling.events import Event
from icfqueue.outputs.freshness import KnownTarball
from icfqueue.pipeline.catalog_schedule import nobody_else_comes, send_flush
from icfqueue.pipeline.heartbeat import CallOff, Heartbeat
from icfqueue.pipeline.step_log import Ending, say, say_outcome
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps import fetch
from icfqueue.steps.failures import as_step_error
from icfqueue.steps.job import Job

log = logging.getLogger(__name__)

FORGETFUL = frozenset({steps.FETCH.name, steps.INDEX_TAR.name})
"""Steps after whose failure nothing of use lies in the visit's work folder."""

UNSEEN = 5.0
"""Seconds after which is looked again for what another machine has written."""

AWAY = 5.0
"""Seconds after which a visit goes on whose worker lost the store, or met a strange key."""

Fault = StepError | Withdrawn
"""The end of an attempt that is no outcome."""

Work = Callable[[Sequence[Job]], Mapping[Visit, Outcome | StepError]]
"""The work of an attempt: from jobs to how each visit fared."""


class Attempt:
    """One attempt at one step, for the visits whose leases are held.

    Parameters
    ----------
    worker, step
        Who does what.
    held
        The claimed records; more than one only when a catalog is written.
    lock
        Name and token of the lock held with them.
    of_all
        What an error that ends the work as a whole means for each of the visits.
    """

    def __init__(
        self,
        worker: WorkerContext,
        step: str,
        held: Sequence[Entry],
        lock: tuple[str, str] | None = None,
        of_all: Callable[[StepError], Fault] = lambda error: error,
    ) -> None:
        self.worker = worker
        self.step = step
        self.claimed = tuple(held)
        self.held = {entry.record.visit: entry.record for entry in held}
        self.lock = lock
        self.of_all = of_all
        # A tarball that is read as it comes is a download, too.
        self.ticket = held[0].record.ticket.name if len(held) == 1 else step
        self.downloads = self.ticket == steps.FETCH.name
        self.started_work = self.asks_first = False
        self.work_seconds = 0.0

    def run(self, work: Work) -> Ending:
        """Do the work and record what became of every visit."""
        worker, sign = self.worker, self._sign()
        worker.show(sign)
        guard = Heartbeat(
            worker.ledger,
            worker.quick,
            {visit: found.token for visit, found in self.held.items()},
            lease=worker.settings.lease,
            stall=worker.settings.stall.get(self.ticket, 600.0),
            stopping=worker.stopping,
            lock=self.lock,
            give_up=self._give_up,
            show=lambda done: worker.show(structs.replace(sign, bytes=done)),
        )
        for visit in self.held:
            say("step.began", visit, self.step)
            faultpoint.reach(f"began {visit} {self.step}")
        with guard:
            results = self._results(work, guard)
        for visit in self.held:
            faultpoint.reach(f"ended {visit} {self.step}")
        ending = self._settle(results)
        worker.show(None)
        return ending

    def _sign(self) -> JobSign:
        """Return what this process is at, for the roster."""
        first = next(iter(self.held.values()))
        return JobSign(
            project=first.visit.project,
            visit=first.visit.id if len(self.held) == 1 else "",
            step=self.step,
            since=first.began or 0.0,
            pid=os.getpid(),
        )

    def _results(self, work: Work, guard: Heartbeat) -> dict[Visit, Outcome | Fault]:
        """Return an outcome or an error for each visit."""
        began = time.perf_counter()
        try:
            self._ask_leave()
            self.started_work = True
            began = time.perf_counter()
            results = work([self._job(found, guard) for found in self.held.values()])
        except Exception as error:  # noqa: BLE001 - the boundary that keeps a worker alive
            # A step that was called off fails in some way; why it was is what counts.
            return self._for_all(guard.called_off or _as_fault(error))
        finally:
            self.work_seconds = round(time.perf_counter() - began, 4)
        return {visit: results[visit] for visit in self.held}

    def _for_all(self, cause: Fault) -> dict[Visit, Outcome | Fault]:
        """Return what a fault that ended the work means for each visit."""
        shared = self.of_all(cause) if isinstance(cause, StepError) else cause
        return dict.fromkeys(self.held, shared)

    def _ask_leave(self) -> None:
        """Raise if disk or store are known to be in trouble."""
        # What troubles one visit of a batch troubles all that have the same store.
        asked = {found.options.store_url: visit for visit, found in self.held.items()}
        worker = self.worker
        for url, visit in asked.items():
            # Others need what the step before left, and ask no store.
            tarball = worker.store.path(visit, visit.tarball)
            here = not self.downloads or worker.store.exists(tarball)
            if worker.breaker.raise_if_open(visit, self.step, url, here=here):
                self.asks_first = True
            if not here and not self.held[visit].options.stream:
                self._check_fits(self.held[visit])

    def _check_fits(self, found: Record) -> None:
        """Put off a visit that did not fit before and cannot now, without asking for it."""
        chosen = self.worker.settings
        if (found.error or {}).get("type") != NoRoom.__name__ or not found.tar_bytes:
            return
        try:
            fetch.check_fits(self.worker.store, chosen, found.visit, found.tar_bytes)
        except NoRoom as error:
            error.at(project=found.visit.project, visit=found.visit.id, step=self.step)
            raise PutOff(error, chosen.disk_pause) from None

    def _job(self, found: Record, guard: Guard) -> Job:
        worker = self.worker
        return Job(
            found.visit,
            found.options,
            worker.store,
            worker.settings,
            guard,
            worker.keys,
            found.dicoms,
            KnownTarball.of(found.fingerprint, found.tar_md5),
            vouched=found.begun,
            md5=found.tar_md5,
            identifiers=found.identifiers,
            streamed=found.streamed,
        )

    def _settle(self, results: Mapping[Visit, Outcome | Fault]) -> Ending:
        """Write the outcomes to the records, and send the visits on."""
        results = self._without_store(results)
        placed = {visit: self._placed(visit, result) for visit, result in results.items()}
        withdrawn: dict[Visit, str] = {}

        def changing(visit: Visit) -> Callable[[Record], Record | None]:
            held = self.held[visit]

            def change(found: Record) -> Record | None:
                try:
                    record.check_held(found, held.token, held.generation)
                except Withdrawn as error:
                    withdrawn[visit] = type(error).__name__
                    return None
                after = self._after(found, placed[visit])
                try:
                    after.to_json()
                except ValueError as error:
                    # A fault of ours. It must not reach the broker, nor the visit have
                    # no end.
                    placed[visit] = self._placed(visit, as_step_error(error))
                    return self._after(found, placed[visit])
                return after

            return change

        # As a rule nobody else touches a visit whose lease is held: it is not read again.
        wanted = {visit: changing(visit) for visit in placed}
        known = [entry for entry in self.claimed if entry.record.visit in wanted]
        entries = self.worker.ledger.update_many(wanted, known=known)
        changed = {v: entry.record if entry else None for v, entry in entries.items()}
        for visit, found in changed.items():
            if found is None:
                say("step.withdrawn", visit, self.step, why=withdrawn.get(visit, "gone"))
                self._tell_withdrawn(visit)
                self._forget_if_cancelled(visit)
            else:
                self._note(found, placed[visit])
        after = [found for found in changed.values() if found]
        self._send_on(after)
        return Ending.of(self.step, changed)

    def _without_store(
        self, results: Mapping[Visit, Outcome | Fault]
    ) -> Mapping[Visit, Outcome | Fault]:
        """Return the results; if the store went away meanwhile, none of them counts."""
        lost = self.worker.watch.lost()
        if lost is None:
            return results
        cause = DiskTrouble(lost.message, hint=lost.hint, full=False)
        return {
            visit: result
            if isinstance(result, Withdrawn)
            else PutOff(
                cause.at(project=visit.project, visit=visit.id, step=self.step), AWAY
            )
            for visit, result in results.items()
        }

    def _placed(self, visit: Visit, result: Outcome | Fault) -> Outcome | Fault:
        """Return the result, an error with its place; others are told of it."""
        if isinstance(result, StepError):
            result = result.at(project=visit.project, visit=visit.id, step=self.step)
            if isinstance(result, NotSeen) and (later := self._seen_later(visit)):
                return PutOff(result, later)
            if self.started_work:
                # What was only read off a note is not noted again: 'retry' may just have
                # lifted it.
                url = self.held[visit].options.store_url
                return self.worker.breaker.record_failure(visit, result, url) or result
        return result

    def _seen_later(self, visit: Visit) -> float:
        """Return in how many seconds to look again for what is not seen; 0 to give up."""
        within = self.worker.settings.seen_within
        pause = min(UNSEEN, within / 4)
        if pause <= 0:
            return 0.0
        # By the number of looks: no clock of this machine is asked.
        looks = self.worker.ledger.notes.count_up(f"unseen:{visit}:{self.step}", within)
        return pause if looks * pause <= within else 0.0

    def _note(self, changed: Record, result: Outcome | Fault) -> None:
        """Log what became of a visit, and clear up what it needs no more."""
        worker = self.worker
        say_outcome(changed.visit, self.step, changed, result, self.work_seconds)
        if self.asks_first:
            worker.breaker.release_probe(changed.visit, changed.options.store_url)
        if self.downloads and isinstance(result, Outcome) and result.worked:
            project = changed.visit.project
            worker.breaker.record_success(changed.options.store_url, project)
        if changed.state == State.FAILED and self.step in FORGETFUL:
            worker.store.try_forget_work(changed.visit)

    def _after(self, found: Record, result: Outcome | Fault) -> Record:
        """Return the record after this attempt."""
        now = self.worker.ledger.now()
        if isinstance(result, Outcome):
            return record.finished(found, result, now)
        if isinstance(result, PutOff):
            return record.postponed(found, result.cause, now + result.seconds)
        if isinstance(result, Withdrawn):
            return record.given_back(found)
        if isinstance(result, NoRoom):
            found = found.with_size(result.size)
        faults = found.steps[found.position].faults + 1
        decision = decide(result, faults, self.worker.policy, random.random())  # noqa: S311 - jitter, no secret
        if isinstance(decision, PostponeBy):
            return record.postponed(found, result, now + decision.seconds)
        return record.failed(found, result, decision, now)

    def _tell_withdrawn(self, visit: Visit) -> None:
        """Leave a word among the events: no record changes that could have it with it."""
        worker = self.worker
        event = Event(
            kind="step.withdrawn",
            project=visit.project,
            visit=visit.id,
            step=self.step,
            worker=worker.name,
        )
        # Of no use later, to a broker that is away.
        with suppress(redis.RedisError, OSError):
            worker.quick.events.add(event)

    def _forget_if_cancelled(self, visit: Visit) -> None:
        """Remove the work of a visit that nobody goes on with."""
        # Of one that a newer release has taken over, nothing is known.
        with suppress(UnreadableRecord):
            entry = self.worker.ledger.get(visit)
            if entry and entry.record.state == State.CANCELLED:
                self.worker.store.try_forget_work(visit)

    def _send_on(self, changed: Sequence[Record]) -> None:
        """Send the messages for the next steps; see to the catalogs of what has ended."""
        queued = [found for found in changed if found.state == State.QUEUED]
        gathered = [found for found in queued if found.step == steps.UPDATE_CATALOG.name]
        sent = [found for found in queued if found.step != steps.UPDATE_CATALOG.name]
        if len(sent) == 1:
            self.worker.messages.send(sent[0])
        elif sent:
            try:
                self.worker.messages.send_many(sent)
            except Exception as error:
                if not is_away(error):
                    raise
                # A batch is not tried again: what is missing the supervisor sends.
                log.info("messages are left to the supervisor: the broker is away")
        ended = [
            found
            for found in changed
            if not found.active and found.state != State.CANCELLED
        ]
        for project in {found.visit.project for found in (*gathered, *ended)}:
            wanted = any(found.options.catalog for found in gathered)
            if wanted and not self._has_catalog(project):
                # Made while other visits are worked on, and not at the very end.
                send_flush(self.worker.ledger, self.worker.messages, project)
            else:
                self._last_of_project(project)

    def _has_catalog(self, project: str) -> bool:
        store = self.worker.store
        return store.holds(store.catalog_dir(project))

    def _last_of_project(self, project: str) -> None:
        """Have the catalog written at once when nobody else is on the way to it."""
        ledger = self.worker.ledger
        if nobody_else_comes(ledger, project):
            send_flush(ledger, self.worker.messages, project)

    def _give_up(self, why: CallOff) -> None:
        """Record a step that does not end, and end the process that hangs in it."""
        for visit, fault in self._for_all(why).items():
            with suppress(Exception):
                self._settle({visit: fault})
        logging.shutdown()
        os._exit(3)


def _as_fault(error: Exception) -> Fault:
    """Return what `error`, which a step raised, means for the visit."""
    if is_away(error):
        # Connections wait for the broker; should one give up, no visit is charged.
        return Interrupted("the broker is away")
    if isinstance(error, redis.ResponseError):
        log.warning("step put off: the broker answered %s", shown(error))
        cause = TransientError(
            "a key of the broker was not what icfqueue writes there",
            hint="nothing is to be done: it is mended, and the visit goes on",
            cause="broker",
        )
        return PutOff(cause, AWAY)
    return error if isinstance(error, Withdrawn) else as_step_error(error)
