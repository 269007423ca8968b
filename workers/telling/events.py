"""Celery's events, which Flower and ``celery events`` show; a courtesy to people.

The record is the truth, and nobody waits for an event: they are sent by a thread of their
own, over a connection of its own. A broker that is away, slow, or does not let its user
send them costs events and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher
from kombu import Producer

from icfqueue.broker.refusals import Outage

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two events that say of a worker that it lives."""

MOST = 10_000
"""Events that wait to be sent; what comes then is dropped."""

TOGETHER = 0.25
"""Seconds within which events are sent in one message: that costs a fifth."""

PAUSE = 5.0
"""Seconds after which is tried again what failed."""

LAST_WORDS = 1.0
"""Seconds, at most, that a worker that ends waits for its last events to be sent."""


class Events(CeleryEvents):  # type: ignore[misc]  # Celery is untyped
    """Makes the dispatcher below; Celery's own receiver."""

    dispatcher_cls = "workers.telling.events:Dispatcher"


class Dispatcher(EventDispatcher):  # type: ignore[misc]  # Celery is untyped
    """Hands events over instead of sending them within the worker's main loop."""

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        """Hand over an event, or a list of them; never waits."""
        if producer is not None:
            courier.take(self, event, routing_key)


@dataclass
class Courier:
    """Sends events, in their order, from one thread.

    Attributes
    ----------
    pause
        Seconds after which is tried again what failed.
    """

    pause: float = PAUSE
    _waiting: deque[_Sent] = field(default_factory=lambda: deque(maxlen=MOST))
    _some: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)
    _outage: Outage = field(default_factory=lambda: Outage("events"))
    _thread: threading.Thread | None = None

    def take(self, dispatcher: Any, event: Any, routing_key: str) -> None:
        """Take an event, or a list of them; the oldest goes if too many wait."""
        self._waiting.append(_Sent(dispatcher, routing_key, event))
        self._some.set()
        if self._thread is None:
            # Not sooner: a pool's children are forked before the first event.
            self._thread = threading.Thread(target=self._run, name="events", daemon=True)
            self._thread.start()

    def finish(self, seconds: float = LAST_WORDS) -> None:
        """Wait until all is sent, as long as that may take."""
        end = time.monotonic() + seconds
        self._ending.set()
        while (
            self._thread
            and self._some.is_set()
            and self._outage.since is None
            and time.monotonic() < end
        ):
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            try:
                self._send_all()
            except Exception as error:  # noqa: BLE001 - an event is not worth a worker
                self._outage.note(error)
            time.sleep(self.pause)

    def _send_all(self) -> None:
        """Send whatever comes, until that fails."""
        self._wait()
        with self._waiting[0].dispatcher.app.connection_for_write() as connection:
            producer = Producer(connection, auto_declare=False)
            while True:
                self._ending.wait(TOGETHER)
                taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
                for sent in _bundled(taken):
                    sent.by(producer)
                self._outage.over()
                self._wait()

    def _wait(self) -> None:
        """Wait until there is an event."""
        while not self._waiting:
            self._some.clear()
            if not self._waiting:
                self._some.wait()


@dataclass
class _Sent:
    """An event, or a list of events of one group, on its way."""

    dispatcher: Any
    routing_key: str
    event: Any

    def by(self, producer: Producer) -> None:
        """Send it."""
        dispatcher = self.dispatcher
        producer.publish(
            self.event,
            routing_key=self.routing_key,
            exchange=dispatcher.exchange.name,
            declare=[dispatcher.exchange],
            serializer=dispatcher.serializer,
            headers=dispatcher.headers,
            delivery_mode=dispatcher.delivery_mode,
            retry=False,
        )


def _bundled(taken: Iterable[_Sent]) -> list[_Sent]:
    """Return the same events, lists of one group that follow each other as one."""
    found: list[_Sent] = []
    for sent in taken:
        last = found[-1] if found else None
        if (
            last is not None
            and isinstance(sent.event, list)
            and last.routing_key == sent.routing_key
        ):
            last.event = [*last.event, *sent.event]
        else:
            found.append(sent)
    return found


courier = Courier()
"""That of this process."""
