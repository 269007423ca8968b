"""Celery's two ways to the broker, made for what icfqueue sends over them.

:class:`Transport` is Kombu's for Redis, with four differences:

* What is taken off a queue is read strictly and made anew
  (:mod:`icfqueue.broker.envelope`); what is none of ours is put aside, and the worker
  takes the next.
* A message that was taken is held in this process alone, not also in the broker. Should
  the process vanish, the supervisor finds the visit by its lease or its record, as it
  always did; so there is nothing in the broker that a stranger could have handed out
  again, and taking a message writes nothing that a full broker would refuse.
* Queues are Redis lists of their own names. There are no exchanges, hence no tables of
  bindings into which somebody could write.
* Connections notice a broker that is gone, or refuses (:mod:`icfqueue.broker.sockets`).

:class:`Backend` keeps Celery's results, for Celery's own tools. They are a courtesy: the
record is the truth, and no step waits for its result to be written.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

import redis
from celery.backends.redis import RedisBackend
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from icfqueue.broker import envelope
from icfqueue.broker.aside import Aside
from icfqueue.broker.queues import mend
from icfqueue.broker.refusals import BrokerRefuses
from icfqueue.broker.sockets import OVER_TCP, REPLY_SECONDS, Once, attentive
from icfqueue.core.steps import QUEUES

log = logging.getLogger(__name__)

PAUSES = (0.02, 0.1, 0.5, 1.0, 2.0)
"""Seconds before each next try to put a message into a queue of a broker that refuses."""

EVENTS = "celeryev"
"""What Celery calls the exchange of its events."""

_aside = Aside()


class Client(redis.Redis):
    """A client that lets only messages of ours through.

    Parameters
    ----------
    put_aside
        Called with queue, message and reason for everything else.
    separator
        What stands between a queue's name and its priority.
    """

    def __init__(self, *args: Any, put_aside: Any, separator: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._put_aside = put_aside
        self._separator = separator

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Return a reply; nothing instead of a message that is none of ours."""
        read: Any = super().parse_response
        reply = read(connection, command_name, **options)
        if command_name != "BRPOP" or not reply:
            return reply
        name, raw = reply
        queue = name.decode("utf-8", "replace").rpartition(self._separator)[0]
        queue = queue or name.decode("utf-8", "replace")
        try:
            return name, envelope.read(raw, queue)
        except envelope.Unreadable as error:
            self._put_aside(queue, raw, str(error))
            return None


class QoS(virtual.QoS):  # type: ignore[misc]  # Kombu is untyped
    """Which messages this process holds; known to it alone."""

    def restore_unacked(self) -> list[Any]:
        """Put back what is held; what cannot be is found missing and sent again."""
        self._flush()
        try:
            while self._delivered:
                _, message = self._delivered.popitem(last=False)
                self.channel.put_back(message)
        except (redis.RedisError, OSError) as error:
            # Nor can the others be, and each try may take a while.
            log.debug("not put back: %s", type(error).__name__)
            self._delivered.clear()
        return []


class Channel(kombu_redis.Channel):  # type: ignore[misc]  # Kombu is untyped
    """A channel to Redis."""

    ack_emulation = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.QoS = QoS

    def put_back(self, message: Any) -> None:
        """Put a message back to where the next worker takes it first."""
        raw = message.serializable()
        level = self._get_message_priority(raw)
        name = self._q_for_pri(message.delivery_info["routing_key"], level)
        with self.conn_or_acquire() as client:
            client.rpush(name, kombu_redis.dumps(raw))

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: ARG002 - Kombu's signature
        self.put_back(message)

    def _put(self, queue: str, message: Any, **more: Any) -> None:
        put = partial(super()._put, queue, message, **more)
        for pause in PAUSES:
            try:
                self._mended(put)
            except BrokerRefuses:
                # Kombu tries again, but at once if it can connect.
                time.sleep(pause)
            else:
                return
        self._mended(put)

    def _size(self, queue: str) -> int:
        if queue not in QUEUES:
            # Who listens to events has a queue in name only.
            return 0
        return int(self._mended(partial(super()._size, queue)))

    def _mended(self, do: Any) -> Any:
        """Return what `do` returns; what is in the place of a queue and is none goes."""
        try:
            return do()
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
        with self.conn_or_acquire() as client:
            mend(client)
        return do()

    def _queue_bind(
        self,
        exchange: str,
        routing_key: str,
        pattern: str,  # noqa: ARG002 - Kombu's signature
        queue: str,
    ) -> None:
        """Write nothing: a message's routing key is the name of its queue.

        Events, which have subscribers and no queue, are listened to.
        """
        if self.typeof(exchange).type == "fanout":
            self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))

    def _delete(self, queue: str, *_: Any, **more: Any) -> None:  # noqa: ARG002 - Kombu's signature
        """Write nothing: what has a queue in name only leaves none, and ours stay."""
        self.auto_delete_queues.discard(queue)

    def maybe_refresh_binding_expiry(self) -> None:
        """Write nothing: there are no bindings."""

    def _put_fanout(
        self, exchange: str, message: Any, routing_key: str, **more: Any
    ) -> None:
        """Send an event; orders to workers, which obey none, are sent to nobody."""
        if exchange == EVENTS:
            super()._put_fanout(exchange, message, routing_key, **more)

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """Return the bindings of `exchange`: to the queue of its name."""
        return [(exchange, "", exchange)]

    def _get_client(self) -> Any:
        super()._get_client()
        return partial(Client, put_aside=self._put_aside, separator=self.sep)

    def _put_aside(self, queue: str, raw: bytes, why: str) -> None:
        with self.conn_or_acquire() as client:
            _aside.put(client, queue, raw, why)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None:
            # A producer of the pool that lost its connection: Kombu gives it a new one.
            raise redis.ConnectionError("the channel is closed")
        found: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        kind = found.get("connection_class") or self.connection_class
        found["connection_class"] = attentive(kind, Once)
        return found


class Transport(kombu_redis.Transport):  # type: ignore[misc]  # Kombu is untyped
    """Kombu's transport for Redis, with our channel."""

    Channel = Channel

    recoverable_connection_errors = kombu_redis.Transport.connection_errors
    recoverable_channel_errors = ()
    """Said explicitly, or Kombu gives up when an error comes again after it connected."""


class Backend(RedisBackend):  # type: ignore[misc]  # Celery is untyped
    """Results in Redis, if the broker takes them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kind = self.connparams.get("connection_class") or redis.Connection
        self.connparams["connection_class"] = attentive(kind, Once)
        if not issubclass(kind, redis.UnixDomainSocketConnection):
            self.connparams |= OVER_TCP
        self.connparams |= {"socket_timeout": REPLY_SECONDS}

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing: nobody here waits for a result."""

    def ensure(self, fun: Any, args: Any, **_: Any) -> Any:
        """Call `fun` once: what it cannot do is not waited for."""
        return fun(*args)

    def _set(self, key: str, value: Any, expires: int | None = None) -> None:
        with self.client.pipeline() as pipe:
            pipe.set(key, value, ex=expires or self.expires or None)
            pipe.publish(key, value)
            pipe.execute()

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        """Write a result over whatever is there, which is not looked at."""
        meta = self._get_result_meta(result, state, traceback, request) | {
            "task_id": task_id
        }
        try:
            self._set_with_state(self.get_key_for_task(task_id), self.encode(meta), state)
        except (redis.RedisError, OSError) as error:
            log.debug("result not written: %s", type(error).__name__)
        return result
