"""One attempt at one step: hold the leases, do the work, record the outcome, send on.

Whatever a step raises ends here and becomes an entry in the visit's record; nothing is
swallowed and nothing reaches Celery.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from icfqueue.core import faultpoint
from icfqueue.core.errors import (
    DiskTrouble,
    Interrupted,
    NoRoom,
    PermanentError,
    StepError,
    TransientError,
    Withdrawn,
)
from icfqueue.core.guard import Watch
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset.programs import KeySource
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import RetryPolicy, decide
from icfqueue.pipeline import circuit_breaker
from icfqueue.pipeline.catalog_schedule import nobody_else_comes, send_flush
from icfqueue.pipeline.heartbeat import CallOff, Heartbeat, Stopping
from icfqueue.pipeline.messages import Messages
from icfqueue.steps import fetch, registry
from icfqueue.steps.job import Job, Outcome
from icfqueue.store.directory import DISK_ERRORS, FULL, Store

log = logging.getLogger(__name__)

FORGETFUL = frozenset({"fetch", "index_tar"})
"""Steps after whose failure nothing of use lies in the visit's work folder."""


@dataclass
class Worker:
    """What a worker process has at hand.

    Attributes
    ----------
    ledger
        Waits for a broker that is away.
    quick
        The same records over a connection that does not wait.
    name
        ``host:pid``, as status shows it.
    stopping
        Whether the process was asked to stop.
    keys
        A git-annex that is kept running; None has one started for each visit.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    quick: Ledger
    messages: Messages
    stopping: Stopping = field(default_factory=Stopping)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    keys: KeySource | None = None

    @property
    def policy(self) -> RetryPolicy:
        """How transient failures are retried."""
        chosen = self.settings
        return RetryPolicy(chosen.max_attempts, chosen.retry_base, chosen.retry_cap)


Fault = StepError | Withdrawn | circuit_breaker.PutOff
"""What ends an attempt, if it is no outcome."""

Work = Callable[[Sequence[Job]], Mapping[Visit, Outcome | StepError]]
"""What an attempt does: from jobs to how each visit fared."""


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
    """

    def __init__(
        self,
        worker: Worker,
        step: str,
        held: Sequence[Entry],
        lock: tuple[str, str] | None = None,
    ) -> None:
        self.worker = worker
        self.step = step
        self.claims = tuple(held)
        self.held = {entry.record.visit: entry.record for entry in held}
        self.lock = lock
        self.news = False
        self.own = 0.0

    def run(self, work: Work) -> str:
        """Do the work and record what became of every visit."""
        worker = self.worker
        watch = Heartbeat(
            worker.ledger,
            worker.quick,
            {visit: found.token for visit, found in self.held.items()},
            lease=worker.settings.lease,
            stall=worker.settings.stall.get(self.step, 600.0),
            stopping=worker.stopping,
            lock=self.lock,
            give_up=self._give_up,
        )
        for visit in self.held:
            say("step.began", visit, self.step)
            faultpoint.reach(f"began {visit} {self.step}")
        with watch:
            results = self._results(work, watch)
        for visit in self.held:
            faultpoint.reach(f"ended {visit} {self.step}")
        words = self._settle(results)
        return words[0] if len(words) == 1 else f"{len(words)} visits"

    def _results(self, work: Work, watch: Heartbeat) -> dict[Visit, Outcome | Fault]:
        """Return an outcome or an error for each visit."""
        began = time.perf_counter()
        try:
            self._ask_leave()
            self.news = True
            began = time.perf_counter()
            results = work([self._job(found, watch) for found in self.held.values()])
        except Exception as error:  # noqa: BLE001 - the boundary that keeps a worker alive
            # A step that was called off fails in some way; why it was is what counts.
            cause = watch.called_off or as_fault(error)
            return dict.fromkeys(self.held, cause)
        finally:
            self.own = round(time.perf_counter() - began, 4)
        return {visit: results[visit] for visit in self.held}

    def _ask_leave(self) -> None:
        """Raise if disk or store are known to be in trouble."""
        # What troubles one visit of a batch troubles all that have the same store.
        asked = {found.options.store_url: visit for visit, found in self.held.items()}
        worker = self.worker
        for url, visit in asked.items():
            here = worker.store.path(visit, visit.tarball).exists()
            circuit_breaker.check(
                worker.ledger, worker.settings, visit, self.step, url, here=here
            )
            if self.step == circuit_breaker.FETCH and not here:
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
            raise circuit_breaker.PutOff(error, chosen.disk_pause) from None

    def _job(self, found: Record, watch: Watch) -> Job:
        worker = self.worker
        return Job(
            found.visit, found.options, worker.store, worker.settings, watch, worker.keys
        )

    def _settle(self, results: Mapping[Visit, Outcome | Fault]) -> list[str]:
        """Write the outcomes to the records, and send the visits on; a word for each."""
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
                return self._after(found, placed[visit])

            return change

        # As a rule nobody else touches a visit whose lease is held: it is not read again.
        wanted = {visit: changing(visit) for visit in placed}
        known = [entry for entry in self.claims if entry.record.visit in wanted]
        entries = self.worker.ledger.change_many(wanted, known=known)
        changed = {v: entry.record if entry else None for v, entry in entries.items()}
        for visit, found in changed.items():
            if found is None:
                say("step.withdrawn", visit, self.step, why=withdrawn.get(visit, "gone"))
                self._forget_if_cancelled(visit)
            else:
                self._note(found, placed[visit])
        after = [found for found in changed.values() if found]
        self._send_on(after)
        return [found.state.value if found else "withdrawn" for found in changed.values()]

    def _placed(self, visit: Visit, result: Outcome | Fault) -> Outcome | Fault:
        """Return the result, an error with its place; others are told of it."""
        if isinstance(result, StepError):
            result = result.at(project=visit.project, visit=visit.id, step=self.step)
            if self.news:
                # What was only read off a note is not noted again: 'retry' may just have
                # lifted it.
                worker, options = self.worker, self.held[visit].options
                return (
                    circuit_breaker.note(
                        worker.ledger, worker.settings, visit, result, options
                    )
                    or result
                )
        return result

    def _note(self, changed: Record, result: Outcome | Fault) -> None:
        """Log what became of a visit, and clear up what it needs no more."""
        worker = self.worker
        _say_outcome(changed.visit, self.step, changed, result, self.own)
        if self.step == circuit_breaker.FETCH and isinstance(result, Outcome):
            if result.worked:
                circuit_breaker.well(worker.ledger, changed.options)
                circuit_breaker.given(worker.ledger, changed.visit.project)
            circuit_breaker.probed(worker.ledger, changed.visit, changed.options)
        if changed.state == State.FAILED and self.step in FORGETFUL:
            worker.store.forget_work(changed.visit)

    def _after(self, found: Record, result: Outcome | Fault) -> Record:
        """Return the record after this attempt."""
        now = time.time()
        if isinstance(result, Outcome):
            return record.finished(found, result, now)
        if isinstance(result, circuit_breaker.PutOff):
            return record.postponed(found, result.cause, now + result.seconds)
        if isinstance(result, Withdrawn):
            return record.given_back(found)
        pause = circuit_breaker.uncounted_wait(result, self.worker.settings)
        if isinstance(result, NoRoom):
            found = found.with_size(result.size)
        if pause is not None:
            return record.postponed(found, result, now + pause)
        faults = found.steps[found.position].faults + 1
        decision = decide(result, faults, self.worker.policy, random.random())  # noqa: S311 - jitter, no secret
        return record.failed(found, result, decision, now)

    def _forget_if_cancelled(self, visit: Visit) -> None:
        """Remove the work of a visit that nobody goes on with."""
        entry = self.worker.ledger.get(visit)
        if entry and entry.record.state == State.CANCELLED:
            self.worker.store.forget_work(visit)

    def _send_on(self, changed: Sequence[Record]) -> None:
        """Send the messages for the next steps; see to the catalogs of what has ended."""
        queued = [found for found in changed if found.state == State.QUEUED]
        gathered = [found for found in queued if found.step == registry.GATHERED]
        sent = [found for found in queued if found.step != registry.GATHERED]
        if len(sent) == 1:
            self.worker.messages.send(sent[0])
        elif sent:
            self.worker.messages.send_many(sent)
        ended = [
            found
            for found in changed
            if not found.active and found.state != State.CANCELLED
        ]
        for project in {found.visit.project for found in (*gathered, *ended)}:
            wanted = any(found.options.catalog for found in gathered)
            if wanted and not self.worker.store.catalog_dir(project).exists():
                # Made while other visits are worked on, and not at the very end.
                send_flush(self.worker.ledger, self.worker.messages, project)
            else:
                self._last_of_project(project)

    def _last_of_project(self, project: str) -> None:
        """Have the catalog written at once when nobody else is on the way to it."""
        ledger = self.worker.ledger
        ready = ledger.ready_count(project, registry.GATHERED)
        if ready and nobody_else_comes(ledger, project, ready):
            send_flush(ledger, self.worker.messages, project)

    def _give_up(self, why: CallOff) -> None:
        """Record a step that does not end, and end the process that hangs in it."""
        for visit in self.held:
            with suppress(Exception):
                self._settle({visit: why})
        logging.shutdown()
        os._exit(3)


def as_fault(error: Exception) -> Fault:
    """Return what `error`, which a step raised, means for the visit."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return DiskTrouble(
            f"{error.strerror} ({error.filename or 'in the store directory'})",
            hint="make room or repair the file system; the visit is tried again",
            full=error.errno in FULL,
        )
    if isinstance(error, PermissionError):
        return PermanentError(
            f"{error.strerror} ({error.filename or 'in the store directory'})",
            hint="look at owner and group of the file and its folder, and at the umask of "
            "who made them: the workers must be able to read and write there; then "
            "'icfqueue retry'",
        )
    if isinstance(error, OSError | MemoryError):
        what = getattr(error, "strerror", None) or "out of memory"
        where = getattr(error, "filename", None)
        return TransientError(
            f"{type(error).__name__}: {what}{f' ({where})' if where else ''}",
            hint="the visit is tried again; the worker's log has more",
        )
    # Frames only: the exception's own words may hold a DICOM value or a credential.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unexpected %s\n%s", type(error).__name__, frames)
    return PermanentError(
        f"unexpected {type(error).__name__}: this is a fault of icfqueue",
        hint="the worker's log has the traceback; please report it",
    )


def say(
    action: str, visit: Visit, step: str, *, level: int = logging.INFO, **more: object
) -> None:
    """Log what happens to a visit: as words, and as fields for who collects logs."""
    extra = {"action": action, "project": visit.project, "visit": visit.id, "step": step}
    words = "".join(f" {name}={value}" for name, value in more.items())
    log.log(level, "%s %s %s%s", action, visit, step, words, extra=extra | more)


def _say_outcome(
    visit: Visit,
    step: str,
    changed: Record,
    result: Outcome | Fault,
    own: float,
) -> None:
    """Log how an attempt ended.

    Parameters
    ----------
    own
        Seconds of the step's own work: without claiming, asking and recording, which the
        record's seconds have in them.
    """
    if isinstance(result, Outcome):
        seconds = changed.steps[registry.NAMES.index(step)].seconds
        say("step.done", visit, step, worked=result.worked, seconds=seconds, own=own)
    elif isinstance(result, Interrupted):
        say("step.given_back", visit, step)
    else:
        # The reason is in the record alone: it may name a member, hence a person.
        say(
            f"step.{changed.state}",
            visit,
            step,
            level=logging.ERROR if changed.state == State.FAILED else logging.WARNING,
            error=type(result).__name__,
            attempt=changed.steps[registry.NAMES.index(step)].attempts,
            see=f"'icfqueue status {visit.project} {visit.id}'",
        )
