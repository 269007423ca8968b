"""The step ``update_catalog`` for all visits of a study that are ready for it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record
from icfqueue.pipeline.attempt import Attempt, Worker
from icfqueue.steps import registry
from icfqueue.steps.job import Job, Outcome, Results

TOGETHER = 200
"""Most visits whose pages are written in one go."""


def update_catalog(worker: Worker, project: str) -> str:
    """Write the pages of all visits of a study that are ready for it.

    Any message for the step means the whole study: its pages are written by one worker
    at a time, which holds the study's lock. A visit that becomes ready meanwhile is seen
    when the lock is given back.
    """
    ledger = worker.ledger
    name = f"catalog:{project}"
    count = 0
    with ledger.locked(name, worker.settings.lease) as token:
        if token is None:
            return "left to the holder"
        began = time.monotonic()
        # Should this worker vanish, the study must not wait for it longer than a lease.
        ledger.delay_flush(project, worker.settings.lease)
        # Once the lock is lost, its new holder sees to all that is ready.
        while ledger.renew_lock(name, token, worker.settings.lease):
            ready = ledger.ready(project, registry.GATHERED)[:TOGETHER]
            held = _claim_ready(worker, ready)
            if not held:
                break
            count += len(held)
            Attempt(worker, registry.GATHERED, held, lock=(name, token)).run(_catalog_work)
            if worker.stopping.asked:
                break
        # Writing takes longer the larger a study is; it gets at most a tenth of the time.
        pause = max(worker.settings.catalog_gather, 10 * (time.monotonic() - began))
    ledger.flushed(project, pause)
    return f"{count} visits"


def _claim_ready(worker: Worker, visits: Sequence[Visit]) -> list[Entry]:
    """Claim those of `visits` that are still queued for the catalog."""
    now = time.time()

    def change(found: Record) -> Record | None:
        if not record.claimable(found, registry.GATHERED, found.generation):
            return None
        return record.claimed(found, secrets.token_hex(8), worker.name, now)

    changed = worker.ledger.change_many(
        dict.fromkeys(visits, change), lease=worker.settings.lease
    )
    return [found for found in changed.values() if found]


def _catalog_work(jobs: Sequence[Job]) -> Results:
    from icfqueue.catalog import study

    wanted = [job for job in jobs if job.options.catalog]
    results: Results = {
        job.visit: Outcome(worked=False, note="no catalog was asked for") for job in jobs
    }
    if wanted:
        first = wanted[0]
        project = first.visit.project
        results.update(
            study.add_visits(first.store, project, wanted, first.settings, first.watch)
        )
    return results
