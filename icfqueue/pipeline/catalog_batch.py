"""The catalog of a whole study, written by one worker at a time.

The step ``update_catalog`` for all visits that are ready for it, and its making anew.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from icfqueue.catalog import study
from icfqueue.core.errors import Unreachable
from icfqueue.core.options import Results
from icfqueue.core.settings import Settings
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit, check_id
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record
from icfqueue.pipeline.attempt import Attempt
from icfqueue.pipeline.heartbeat import Heartbeat
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps.update_catalog import run_batch
from icfqueue.store.directory import Store

LARGEST_BATCH = 200
"""Most visits whose pages are written in one go."""


def lock_of(project: str) -> str:
    """Return the name of the lock that the writer of a study's catalog holds."""
    return f"catalog:{project}"


def update_catalog(worker: WorkerContext, project: str) -> str:
    """Write the pages of all visits of a study that are ready for it.

    Any message for the step means the whole study: its pages are written by one worker
    at a time, which holds the study's lock. A visit that becomes ready meanwhile is seen
    when the lock is given back.
    """
    ledger = worker.ledger
    name = lock_of(project)
    count = 0
    with ledger.locks.holding(name, worker.settings.lease) as token:
        if token is None:
            return "left to the holder"
        began = time.monotonic()
        # Should this worker vanish, the study must not wait for it longer than a lease.
        ledger.delay_flush(project, worker.settings.lease)
        # Once the lock is lost, its new holder sees to all that is ready.
        while ledger.locks.renew(name, token, worker.settings.lease):
            ready = ledger.ready(project, UPDATE_CATALOG.name)[:LARGEST_BATCH]
            held = _claim_ready(worker, ready)
            if not held:
                break
            count += len(held)
            Attempt(worker, UPDATE_CATALOG.name, held, lock=(name, token)).run(run_batch)
            if worker.stopping.asked:
                break
        # Writing takes longer the larger a study is; it gets at most a tenth of the time.
        pause = max(worker.settings.catalog_gather, 10 * (time.monotonic() - began))
    ledger.flushed(project, pause)
    return f"{count} visits"


def _claim_ready(worker: WorkerContext, visits: Sequence[Visit]) -> list[Entry]:
    """Claim those of `visits` that are still queued for the catalog."""
    now = worker.ledger.now()

    def change(found: Record) -> Record | None:
        if not record.claimable(found, UPDATE_CATALOG.name, found.generation):
            return None
        return record.claimed(found, secrets.token_hex(8), worker.name, now)

    changed = worker.ledger.update_many(
        dict.fromkeys(visits, change), lease=worker.settings.lease
    )
    return [found for found in changed.values() if found]


def rebuild_catalog(
    settings: Settings, store: Store, ledger: Ledger, project: str
) -> Results:
    """Make the catalog of `project` anew from its metadata files.

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
        It cannot be written; the old catalog stays.
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
            return study.rebuild(store, project, settings.store_url, settings, guard)
