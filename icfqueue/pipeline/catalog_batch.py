"""The step ``update_catalog`` for all visits of a study that are ready for it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from icfqueue.core import steps
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record
from icfqueue.pipeline.attempt import Attempt
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps.update_catalog import run_batch

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
            ready = ledger.ready(project, steps.UPDATE_CATALOG.name)[:LARGEST_BATCH]
            held = _claim_ready(worker, ready)
            if not held:
                break
            count += len(held)
            Attempt(worker, steps.UPDATE_CATALOG.name, held, lock=(name, token)).run(
                run_batch
            )
            if worker.stopping.asked:
                break
        # Writing takes longer the larger a study is; it gets at most a tenth of the time.
        pause = max(worker.settings.catalog_gather, 10 * (time.monotonic() - began))
    ledger.flushed(project, pause)
    return f"{count} visits"


def _claim_ready(worker: WorkerContext, visits: Sequence[Visit]) -> list[Entry]:
    """Claim those of `visits` that are still queued for the catalog."""
    now = time.time()

    def change(found: Record) -> Record | None:
        if not record.claimable(found, steps.UPDATE_CATALOG.name, found.generation):
            return None
        return record.claimed(found, secrets.token_hex(8), worker.name, now)

    changed = worker.ledger.update_many(
        dict.fromkeys(visits, change), lease=worker.settings.lease
    )
    return [found for found in changed.values() if found]
