"""The queues: what both ends must agree on, and how messages get in.

A message carries ids alone: project, visit, generation. It is sent by the name of its
task; nothing here imports the tasks.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from icfqueue.broker.connection import Broker
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import MAX_PRIORITY, Record
from icfqueue.steps.registry import QUEUES, step

TASK_PREFIX = "icfqueue."
"""The task of a step is called ``icfqueue.<step>``."""

LEVELS = list(range(10))
"""Celery's priorities on Redis; 0 is served first. Visits that have begun take the
lower half, others the upper one, so that a project finishes visit by visit."""

SEPARATOR = "\x06\x16"
"""Kombu's own, between a queue's name and its priority in the key of a Redis list."""

UNACKED = "unacked"
"""Kombu's own: the hash of the messages that workers hold."""

REDELIVERY = 7 * 24 * 3600
"""Seconds after which Redis' transport hands out an unacknowledged message again. Far
longer than any step: a healthy step must not run twice, and what a dead worker held is
found by its lease, long before."""

SEND_BATCH = 500


def make_app(broker: Broker) -> Celery:
    """Return a Celery application that can send, set up as the workers are.

    JSON is the only serialiser: a pickle in a queue is a program that a stranger sends.
    """
    app = Celery("icfqueue", broker=broker.url, backend=broker.url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        task_create_missing_queues=False,
        result_expires=3600,
        broker_transport_options={
            "visibility_timeout": REDELIVERY,
            "priority_steps": LEVELS,
            "sep": SEPARATOR,
            "queue_order_strategy": "priority",
            "socket_connect_timeout": 3.0,
            "socket_keepalive": True,
        },
        # max_retries=None is silently capped; this is about 50 minutes.
        task_publish_retry_policy={
            "max_retries": 600,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 5,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    if broker.tls:
        app.conf.update(broker_use_ssl=broker.tls, redis_backend_use_ssl=broker.tls)
    return app


@dataclass(frozen=True, slots=True)
class Nudge:
    """What a message says: this visit can go on with this step."""

    visit: Visit
    step: str
    generation: int
    priority: int = MAX_PRIORITY

    @classmethod
    def of(cls, record: Record) -> Nudge:
        """Return the message for a queued visit."""
        level = MAX_PRIORITY - record.priority + (0 if record.begun else MAX_PRIORITY + 1)
        return cls(record.visit, record.step, record.generation, level)


class Messages:
    """Sends nudges, and looks into the queues.

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
        by_queue: dict[str, list[Record]] = {}
        for record in records:
            by_queue.setdefault(step(record.step).queue, []).append(record)
        for queue, lost in by_queue.items():
            self.send_many(lost)
            self.ledger.sent((record.visit for record in lost), queue)
        return sum(map(len, by_queue.values()))

    def _send(self, nudge: Nudge, producer: Any) -> None:
        self.app.send_task(
            TASK_PREFIX + nudge.step,
            args=[nudge.visit.project, nudge.visit.id, nudge.generation],
            task_id=f"{nudge.visit}/{nudge.step}/{nudge.generation}/{secrets.token_hex(3)}",
            queue=step(nudge.step).queue,
            priority=nudge.priority,
            producer=producer,
            # Or the result of each step would name the next one.
            add_to_parent=False,
        )

    def depth(self, queue: str) -> int:
        """Return how many messages wait in `queue`."""
        pipe = self.ledger.client.pipeline(transaction=False)
        for name in _lists(queue):
            pipe.llen(name)
        return sum(pipe.execute())

    def unacknowledged(self) -> int:
        """Return how many messages workers hold, or held when they vanished."""
        return int(self.ledger.client.hlen(UNACKED))

    def waiting(self, queue: str) -> Iterator[str]:
        """Yield ``project/visit`` of every message that waits in `queue`.

        Reads the whole queue, a thousand messages at a time; only asked for when the
        numbers do not add up.
        """
        for name in _lists(queue):
            start = 0
            while messages := self.ledger.client.lrange(name, start, start + 999):
                for message in messages:
                    # What somebody else put there is no visit's.
                    with suppress(ValueError, LookupError, TypeError):
                        task = str(json.loads(message)["headers"]["id"])
                        yield "/".join(task.split("/")[:2])
                start += len(messages)


def _lists(queue: str) -> list[str]:
    """Return the Redis lists that make up `queue`, one for each priority."""
    return [queue, *(f"{queue}{SEPARATOR}{level}" for level in LEVELS[1:])]
