"""What a worker's main process does beside Celery's own: supervise, and mind its end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import redis
from celery import bootsteps

from icfqueue.core import settings
from icfqueue.pipeline.heartbeat import LAST_WORD
from workers import pulse
from workers.context import ask_to_stop, jobs, make_supervisor, stop_since, this_worker
from workers.signs import Signs

log = logging.getLogger(__name__)

PARENT_VARIABLE = "ICFQUEUE_PARENT"
"""Process id without which this worker stops: that of ``icfqueue worker``."""

STOP_AT_VARIABLE = "ICFQUEUE_STOP_AT"
"""Time (seconds since 1970) at which the worker takes no more work."""

supervision_ends = threading.Event()
"""Set when another worker is to look after the visits."""

_LOOK = 0.5
"""Seconds between two looks at parent and clock."""

_LAST_RESORT = settings.load().grace + LAST_WORD + 10.0
"""Seconds after which a worker without a parent, asked to stop, is killed."""


class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Shows whoever started this worker that its main loop goes round."""

    requires = ("celery.worker.components:Hub",)

    def start(self, parent: Any) -> None:
        """Begin to beat."""
        pulse.beat()
        if parent.hub:
            parent.hub.timer.call_repeatedly(pulse.EVERY, pulse.beat)


class Supervision(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Runs the supervisor in a thread of the worker's main process."""

    # After the pool: a process forked while a thread imports a module inherits the
    # import's lock, for ever.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.thread: threading.Thread | None = None
        self.signs: Signs | None = None

    def start(self, parent: Any) -> None:
        """Begin to look; called when the worker's pool is up."""
        if self.thread:
            return
        worker = this_worker()
        supervisor = make_supervisor(worker)
        # Before it says that it is ready; else who enqueues is told that nobody is there.
        with suppress(redis.RedisError, OSError):
            worker.quick.worker_lives(worker.name)
        self.thread = threading.Thread(
            target=supervisor.run,
            args=(supervision_ends, lambda: worker.quick.worker_lives(worker.name)),
            name="supervisor",
            daemon=True,
        )
        self.thread.start()
        queues = sorted(parent.app.amqp.queues.consume_from)
        self.signs = Signs(worker, parent.concurrency, queues, jobs)
        self.signs.start()
        # Of its own, for it must go on when supervision has ended.
        threading.Thread(target=_mind_the_end, name="end", daemon=True).start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Let another worker take over.

        Called before the pool is stopped, whatever the reason.
        """
        ask_to_stop()
        pulse.beat(pulse.STOPPING)
        supervision_ends.set()
        if self.thread:
            self.thread.join(timeout=5.0)
        if self.signs:
            self.signs.stop()


class OneAtHand(bootsteps.Step):  # type: ignore[misc]  # Celery is untyped
    """Lets the worker hold one message more than it has processes.

    A small step takes no longer than its message's way from the broker, which so need
    not be waited for. More would have visits wait behind large tarballs while other
    workers are idle; this one is sent again if it waits for long.
    """

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        parent.initial_prefetch_count += 1


def _mind_the_end() -> None:
    """Stop the worker with its parent or at the end of its time; runs until then."""
    parent = os.environ.get(PARENT_VARIABLE)
    stop_at = float(os.environ.get(STOP_AT_VARIABLE) or "inf")
    while True:
        time.sleep(_LOOK)
        asked = stop_since()
        orphan = parent is not None and os.getppid() != int(parent)
        if (orphan or time.time() > stop_at) and asked is None:
            log.warning("worker stops: %s", "parent gone" if orphan else "end of time")
            ask_to_stop()
            os.kill(os.getpid(), signal.SIGTERM)
        elif orphan and asked is not None and time.monotonic() > asked + _LAST_RESORT:
            # Celery does not end while it looks for a broker that is away, and nobody
            # else is left who could end it.
            os.killpg(os.getpgrp(), signal.SIGKILL)
