"""One message, one step: claim the visit and make an attempt."""

from __future__ import annotations

import secrets
import time

from icfqueue.core import steps
from icfqueue.core.errors import PermanentError
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record
from icfqueue.pipeline.attempt import Attempt, say
from icfqueue.pipeline.catalog_batch import update_catalog
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps import registry


def handle(
    worker: WorkerContext, step: str, project: str, visit: str, generation: int
) -> str:
    """Act on a message.

    Parameters
    ----------
    step, project, visit, generation
        As the message has them; checked again here, because a queue is outside.

    Returns
    -------
    str
        One word on what became of it, for Celery's own result: the record says more.
    """
    subject = Visit(project, visit)
    if step not in steps.NAMES or not isinstance(generation, int):
        raise PermanentError(f"a message names the step {step!r}")
    if worker.stopping.asked:
        return "stopping"
    if step == steps.UPDATE_CATALOG.name:
        return update_catalog(worker, project)
    held = _claim(worker, subject, step, generation)
    if held is None:
        say("message.dropped", subject, step, generation=generation)
        return "dropped"
    attempt = Attempt(worker, step, [held])
    return attempt.run(lambda jobs: {subject: registry.run(step, jobs[0])})


def _claim(worker: WorkerContext, visit: Visit, step: str, generation: int) -> Entry | None:
    """Take the visit's lease if the message is current."""
    token = secrets.token_hex(8)

    def change(found: Record) -> Record | None:
        if not record.claimable(found, step, generation):
            return None
        return record.claimed(found, token, worker.name, time.time())

    return worker.ledger.update_entry(visit, change, lease=worker.settings.lease)
