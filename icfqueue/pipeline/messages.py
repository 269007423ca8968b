"""Messages: what they carry, and how they get into the queues.

A message carries ids alone: project, visit, generation. It is sent by the name of its
task; nothing here imports the tasks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery import Celery

from icfqueue.broker.celery_app import TASK_PREFIX
from icfqueue.core.priority import LEVELS, level_of
from icfqueue.core.steps import step
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import Record

SEND_BATCH = 500


@dataclass(frozen=True, slots=True)
class Nudge:
    """The content of a message: a visit can go on with this step.

    Attributes
    ----------
    visit, step, generation
        For whom and what it was sent; the step is one of the visit's queue
        (:func:`icfqueue.core.steps.ticket_of`). Who is served by it is whoever's turn it
        is at that queue and this level (:mod:`icfqueue.ledger.stored.turns`).
    level
        Of :data:`icfqueue.core.priority.LEVELS`.
    """

    visit: Visit
    step: str
    generation: int
    level: int = LEVELS[0]

    @classmethod
    def of(cls, record: Record) -> Nudge:
        """Return the message for a queued visit."""
        level = level_of(record.priority, begun=record.begun)
        return cls(record.visit, record.ticket.name, record.generation, level)


class Messages:
    """Sends nudges.

    Parameters
    ----------
    app
        From :func:`make_app`, or the workers' own.
    ledger
        Where the time of sending is noted.
    """

    def __init__(self, app: Celery, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    def send(self, record: Record) -> None:
        """Send the nudge for one queued visit."""
        with self.app.producer_pool.acquire(block=True) as producer:
            self._send(Nudge.of(record), producer)

    def send_many(self, records: Iterable[Record]) -> int:
        """Send nudges for many queued visits over one connection, in batches."""
        count = 0
        with (
            self.app.producer_pool.acquire(block=True) as producer,
            producer.batch(SEND_BATCH),
        ):
            for record in records:
                self._send(Nudge.of(record), producer)
                count += 1
        return count

    def send_again(self, records: Iterable[Record]) -> int:
        """Send nudges whose first message seems lost, and note when."""
        lost = list(records)
        self.send_many(lost)
        self.ledger.turns.sent(lost)
        return len(lost)

    def _send(self, nudge: Nudge, producer: Any) -> None:
        self.app.send_task(
            TASK_PREFIX + nudge.step,
            args=[nudge.visit.project, nudge.visit.id, nudge.generation],
            task_id=f"{nudge.visit}/{nudge.step}/{nudge.generation}/{secrets.token_hex(3)}",
            queue=step(nudge.step).queue,
            priority=nudge.level,
            producer=producer,
            # Or the result of each step would name the next one.
            add_to_parent=False,
        )
