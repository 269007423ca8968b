"""The Celery application: what both ends of the queue must agree on."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from icfqueue.broker.connection import PATIENT, SOCKET_SCHEME, Broker
from icfqueue.broker.sockets import OVER_TCP, REPLY_SECONDS
from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import QUEUES

TASK_PREFIX = "icfqueue."
"""The task of a step is called ``icfqueue.<step>``."""

SEPARATOR = "\x06\x16"
"""Kombu's own, between a queue's name and its priority in the key of a Redis list."""


TRANSPORT = "icfqueue.broker.transport:Transport"
BACKEND = "icfqueue.broker.transport:Backend"
"""Named as texts: who only asks for the state of things need not import them."""

HEALTH_SECONDS = 10
"""Seconds after which Kombu looks whether a reply is overdue; it drops the connection
when it is by as many."""


def make_app(broker: Broker) -> Celery:
    """Return a Celery application that can send, set up as the workers are.

    JSON is the only serialiser: a pickle in a queue is a program that a stranger sends.
    """
    # Kombu chooses a transport by the scheme of the address, and by nothing else if that
    # is one of a socket.
    TRANSPORT_ALIASES.update(redis=TRANSPORT, rediss=TRANSPORT)
    results = broker.url.removeprefix("redis+") if _is_socket(broker) else broker.url
    app = Celery(
        "icfqueue",
        broker=broker.url,
        backend=f"{BACKEND}+{results}",
        set_as_current=False,
    )
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
            "priority_steps": list(LEVELS),
            "sep": SEPARATOR,
            "queue_order_strategy": "priority",
            "socket_timeout": REPLY_SECONDS,
            "health_check_interval": HEALTH_SECONDS,
            **OVER_TCP,
        },
        # max_retries=None is silently capped; this is about a week.
        task_publish_retry_policy={
            "max_retries": PATIENT,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 5,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        redis_backend_health_check_interval=HEALTH_SECONDS,
    )
    if broker.tls:
        app.conf.update(broker_use_ssl=broker.tls, redis_backend_use_ssl=broker.tls)
    return app


def _is_socket(broker: Broker) -> bool:
    return broker.url.startswith(f"{SOCKET_SCHEME}:")
