"""Celery's consumer, which waits for a broker that is away or refuses, however long."""

from __future__ import annotations

import time
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from icfqueue.broker.queues import mend
from icfqueue.broker.refusals import Outage, is_away, try_to_write
from workers import pulse
from workers.context import broker_of, this_worker
from workers.telling.events import HEARTBEAT

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each next try while the broker is away; the last one stays."""

LASTING = 10.0
"""Seconds for which a connection must last, for the pauses to begin anew."""


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery is untyped
    """Takes messages off the queues.

    Celery's own is left by a connection that fails again at once, and by answers that it
    does not know. This one waits, says so, and shows that it lives (:mod:`workers.pulse`).
    It does not listen to other workers, and obeys nobody who can write to the broker.
    Where task events are on, it says now and then that it lives, for Celery's own tools.
    """

    def __init__(self, *args: Any, worker_options: Any = None, **more: Any) -> None:
        alone = dict.fromkeys(("without_gossip", "without_mingle"), True)
        quiet = not more.get("task_events")
        beats = {"without_heartbeat": quiet, "heartbeat_interval": HEARTBEAT}
        options = {**(worker_options or {}), **alone, **beats}
        self._outage = Outage("worker")
        self._failures = 0
        self._connected_at = 0.0
        super().__init__(*args, worker_options=options, **more)

    def ensure_connected(self, conn: Any) -> Any:
        """Return `conn`, connected to a broker that takes what is written."""
        while True:
            maybe_shutdown()
            try:
                conn.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                self._try_broker()
            except Exception as error:
                if not (is_away(error) or isinstance(error, conn.connection_errors)):
                    raise
                self._wait(error)
            else:
                self._outage.over()
                self._connected_at = time.monotonic()
                return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a connection that failed, and pause if it did so at once."""
        self._outage.note(exc)
        with warnings.catch_warnings():
            # Ten lines about a setting of which its value here is meant.
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if time.monotonic() > self._connected_at + LASTING:
            self._failures = 0
        self._wait(exc)

    def _try_broker(self) -> None:
        """Raise unless the broker accepts what is written."""
        with broker_of(this_worker().settings).connect() as client:
            try_to_write(client)
            mend(client)

    def _wait(self, error: Exception) -> None:
        """Wait a while, longer each time, and show that this worker lives."""
        self._outage.note(error)
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        end = time.monotonic() + pause
        while (left := end - time.monotonic()) > 0:
            pulse.beat(pulse.WAITING)
            maybe_shutdown()
            time.sleep(min(0.5, left))
