"""The Celery application: what both ends of the queue must agree on."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from icfqueue.broker.connection import Broker
from icfqueue.core.steps import QUEUES

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
