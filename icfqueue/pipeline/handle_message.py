"""One message, one step: claim the visit whose turn it is and make an attempt."""

from __future__ import annotations

import logging
import secrets

import redis

from icfqueue.broker.refusals import is_away
from icfqueue.core import steps
from icfqueue.core.errors import NewerLayout, OtherStore, PermanentError, UnreadableRecord
from icfqueue.core.plain_text import shown
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record
from icfqueue.pipeline.attempt import Attempt
from icfqueue.pipeline.catalog_batch import update_catalog
from icfqueue.pipeline.messages import Nudge
from icfqueue.pipeline.step_log import Ending, say
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.steps import registry

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds by which a visit must have waited longer to be served by another's message."""


def handle(
    worker: WorkerContext,
    step: str,
    project: str,
    visit: str,
    generation: int,
    *,
    level: int | None = None,
) -> Ending:
    """Act on a message.

    Parameters
    ----------
    step, project, visit, generation
        As the message has them; checked again here, because a queue is outside.
    level
        The message's priority: whoever's turn it is there and at the step's queue is
        served (:mod:`icfqueue.ledger.stored.turns`). None serves the visit named, or
        nobody.

    Returns
    -------
    Ending
        What became of it, for Celery's own result: the record says more.
    """
    subject = Visit(project, visit)
    if step not in steps.NAMES or not isinstance(generation, int):
        raise PermanentError(f"a message names the step {step!r}")
    if not worker.watch.wait(worker.stopping):
        return Ending("stopping")
    try:
        if step == steps.UPDATE_CATALOG.name:
            return update_catalog(worker, project)
        return _handle(worker, Nudge(subject, step, generation), level)
    except NewerLayout as error:
        # The supervisor ends this worker; a newer one sends the visit on.
        log.warning("message left: %s; %s", error.message, error.hint)
        return Ending("newer layout")
    except OtherStore as error:
        # The next message waits until the store is seen.
        log.warning("message left: %s", error.message)
        worker.watch.forget()
        return Ending("other store")
    except redis.ResponseError as error:
        if is_away(error):
            raise
        # It was mended, and is not whole again: the supervisor sends another message.
        log.warning("message left: the broker answered %s", shown(error))
        return Ending("spoilt key")


def _handle(worker: WorkerContext, nudge: Nudge, level: int | None) -> Ending:
    """Do a step of the visit whose turn it is."""
    claimed = _claim(worker, nudge, level)
    if claimed is None:
        say("message.dropped", nudge.visit, nudge.step, generation=nudge.generation)
        return Ending("dropped")
    visit, step = claimed.record.visit, claimed.record.step
    attempt = Attempt(worker, step, [claimed])
    return attempt.run(lambda jobs: {visit: registry.run(step, jobs[0])})


def _claim(worker: WorkerContext, nudge: Nudge, level: int | None) -> Entry | None:
    """Take the lease of the visit whose turn it is; None if nobody waits."""
    if level is None:
        return _claim_named(worker, nudge)
    place = (steps.step(nudge.step).queue, level)
    for found in worker.ledger.turns.served(place, nudge.visit, PATIENCE):
        claimed = _claimed(worker, found.record)
        written = worker.ledger.replace(found, claimed, lease=worker.settings.lease)
        if written:
            return written
    return None


def _claim_named(worker: WorkerContext, nudge: Nudge) -> Entry | None:
    """Take the lease of the visit that the message names, if the message is current."""

    def change(found: Record) -> Record | None:
        if not record.claimable(found, nudge.step, nudge.generation):
            return None
        return _claimed(worker, found)

    try:
        lease = worker.settings.lease
        return worker.ledger.update_entry(nudge.visit, change, lease=lease)
    except UnreadableRecord as error:
        log.warning("record.unreadable: %s", error.message)
        return None


def _claimed(worker: WorkerContext, found: Record) -> Record:
    token = secrets.token_hex(8)
    return record.claimed(found, token, worker.name, worker.ledger.now())
