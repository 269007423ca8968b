"""The catalog of a whole study, written by one worker at a time.

The step ``update_catalog`` for all visits that are ready for it, and its making anew.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from icfqueue.catalog import published_report, study
from icfqueue.core.errors import PutOff, StepError, TransientError, Unreachable
from icfqueue.core.guard import Guard
from icfqueue.core.options import Results
from icfqueue.core.settings import Settings
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import check_id
from icfqueue.dataset.superdataset import renewal
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record
from icfqueue.ledger.retry_policy import PostponeBy, decide, pause
from icfqueue.pipeline.attempt import Attempt, Fault
from icfqueue.pipeline.catalog_schedule import (
    FLUSH_AGAIN,
    batch_size,
    is_ready,
    note_failure,
    note_success,
)
from icfqueue.pipeline.heartbeat import Heartbeat
from icfqueue.pipeline.step_log import Ending
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps.update_catalog import run_batch
from icfqueue.store.directory import Store


def lock_of(project: str) -> str:
    """Return the name of the lock that the writer of a study's catalog holds."""
    return f"catalog:{project}"


def update_catalog(worker: WorkerContext, project: str) -> Ending:
    """Write the pages of all visits of a study that are ready for it.

    Any message for the step means the whole study: its pages are written by one worker
    at a time, which holds the study's lock. A visit that becomes ready meanwhile is seen
    when the lock is given back.
    """
    ledger = worker.ledger
    name = lock_of(project)
    count, failed, again = 0, list[str](), list[str]()
    with ledger.locks.holding(name, worker.settings.lease) as token:
        if token is None:
            # Should it be none, or vanish, the study must not wait for it for long.
            ledger.delay_flush(project, min(worker.settings.lease, FLUSH_AGAIN))
            return Ending("left to the holder")
        began = time.monotonic()
        # Should this worker vanish, the study must not wait for it longer than a lease.
        ledger.delay_flush(project, worker.settings.lease)
        # Once the lock is lost, its new holder sees to all that is ready.
        while ledger.locks.renew(name, token, worker.settings.lease):
            held = _claim_ready(worker, project)
            if not held:
                break
            count += len(held)
            shared = _Shared(worker, project, len(held))
            attempt = Attempt(
                worker,
                UPDATE_CATALOG.name,
                held,
                lock=(name, token),
                of_all=shared.fault,
            )
            ending = attempt.run(run_batch)
            failed += ending.failed
            again += ending.again
            shared.end()
            if worker.stopping.asked:
                break
        # Writing takes longer the larger a study is; it gets at most a tenth of the time.
        pause = max(worker.settings.catalog_gather, 10 * (time.monotonic() - began))
    ledger.flushed(project, pause)
    return Ending(f"{count} visits", tuple(failed), tuple(again))


def _claim_ready(worker: WorkerContext, project: str) -> list[Entry]:
    """Claim visits that are queued for the catalog, as many as a batch may have.

    One that failed before is taken alone, after all others.
    """
    ledger = worker.ledger
    visits = ledger.ready(project, UPDATE_CATALOG.name)
    if not visits:
        return []
    size = batch_size(ledger, project)
    clean: list[Entry] = []
    failed: list[Entry] = []
    for entry in ledger.get_many(visits):
        if isinstance(entry, Entry) and is_ready(entry.record):
            step = entry.record.steps[entry.record.position]
            (failed if step.faults or step.crashes else clean).append(entry)
        if len(clean) == size:
            break
    chosen = clean or failed[:1]
    now = ledger.now()

    def change(found: Record) -> Record | None:
        if not is_ready(found):
            return None
        return record.claimed(found, secrets.token_hex(8), worker.name, now)

    changed = ledger.update_many(
        {entry.record.visit: change for entry in chosen},
        lease=worker.settings.lease,
        known=chosen,
    )
    return [found for found in changed.values() if found]


@dataclass
class _Shared:
    """What a fault that ended a whole batch means for each of its visits."""

    worker: WorkerContext
    project: str
    visits: int
    met: bool = False

    def fault(self, error: StepError) -> Fault:
        """Return what to record for each visit: only one that is alone is charged."""
        self.met = True
        policy = self.worker.policy
        # A full disk, say, is nobody's fault anyway.
        if self.visits == 1 or isinstance(decide(error, 1, policy, 0.0), PostponeBy):
            return error
        failures = note_failure(self.worker.ledger, self.project, self.visits)
        error.at(project=self.project, visit="", step=UPDATE_CATALOG.name)
        if not isinstance(error, TransientError):
            # Time does not help; a smaller batch does.
            return PutOff(error, 0.0)
        return PutOff(error, pause(failures, policy, 1.0))

    def end(self) -> None:
        """Let batches be large again if nothing was met."""
        if not self.met:
            note_success(self.worker.ledger, self.project)


def rebuild_catalog(
    settings: Settings, store: Store, ledger: Ledger, project: str
) -> Results:
    """Make the catalog of `project` anew, and have its superdataset list what is there.

    The catalog is made from the metadata files, the superdataset from the deposits.

    Returns
    -------
    dict
        How each visit fared: :func:`icfqueue.catalog.study.rebuild`.

    Raises
    ------
    Unreachable
        A worker is writing it and does not end.
    UsageError
        There is no such project.
    StepError
        One of the two cannot be written; the old one stays.
    """
    url, whole = settings.store_url, settings.superdataset
    with _holding(settings, ledger, project) as guard:
        results = study.rebuild(store, project, url, settings, guard, superdataset=whole)
        if whole:
            renewal.renew(store, project, None, url, guard)
        return results


def publish_report(
    settings: Settings, store: Store, ledger: Ledger, project: str, text: str
) -> Path:
    """Put a report into the catalog of `project`; return where it is.

    Raises
    ------
    Unreachable
        A worker is writing the catalog and does not end.
    UsageError
        There is no catalog.
    StepError
        It cannot be written; what was there stays.
    """
    with _holding(settings, ledger, project) as guard:
        return published_report.publish(store, project, settings.store_url, text, guard)


@contextmanager
def _holding(settings: Settings, ledger: Ledger, project: str) -> Iterator[Guard]:
    """Hold the lock of a study's catalog; yield what asks for it.

    Raises
    ------
    Unreachable
        A worker is writing it and does not end.
    """
    check_id(project, "project")
    name, lease = lock_of(project), settings.lease
    with ledger.locks.holding(name, lease, wait=2 * lease) as token:
        if token is None:
            raise Unreachable(
                f"the catalog of {project} is being written by a worker",
                hint="try again in a minute",
            )
        stall, lock = settings.stall[UPDATE_CATALOG.name], (name, token)
        with Heartbeat(ledger, ledger, {}, lease=lease, stall=stall, lock=lock) as guard:
            yield guard
