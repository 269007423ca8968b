"""Connections to the broker that notice when it is gone, or there and of no use.

Used by every client: redis-py's own (:mod:`icfqueue.broker.connection`) and Celery's
(:mod:`icfqueue.broker.transport`).

A firewall or a NAT that forgets a connection drops its packets without a word. The
kernel would go on for a quarter of an hour (``tcp_retries2``), and for two hours if
nothing is under way. So it is told to give up after :data:`SILENCE` seconds.

Sources: tcp(7), ``TCP_USER_TIMEOUT`` and ``TCP_KEEP…``; RFC 5482, section 4.2.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from icfqueue.broker.refusals import BrokerRefuses, code_of

_Connection: Any = object
"""Stands for the class of connections that :class:`Attentive` is mixed into."""

SILENCE = 12
"""Seconds after which a connection is dead whose other end acknowledges nothing."""

CONNECT_SECONDS = 5.0
"""How long a connection may take: two lost packets of its three (RFC 6298: 1 and 2 s)."""

REPLY_SECONDS = 10.0
"""How long a worker waits for a reply before it asks again over another connection."""

CHECK_EVERY = 10
"""Seconds after which a connection that was idle is tried before it is used."""

KEEPALIVE = {
    socket.TCP_KEEPIDLE: 4,
    socket.TCP_KEEPINTVL: 4,
    socket.TCP_KEEPCNT: 2,
    socket.TCP_USER_TIMEOUT: SILENCE * 1000,
}
"""Options of a socket by which the kernel gives a dead connection up; see tcp(7)."""

OVER_TCP: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "socket_keepalive_options": KEEPALIVE,
}
"""redis-py's options of a connection that is no Unix socket."""


_NO_ANSWER = (redis.ResponseError, redis.InvalidResponse, AttributeError, ValueError)
"""What redis-py makes of a greeting that another kind of server answers: of SSH and HTTP
the second, of POP3 the third (``+OK`` where a table is to be), of IMAP the last."""


class Attentive(_Connection):  # type: ignore[misc]  # redis-py types half of it
    """Mixed into redis-py's connections: refusals are raised as such.

    All ways lead through ``read_response``: single commands, pipelines, transactions,
    scripts. Only what the greeting is answered is left alone, for redis-py tries things
    there that it can do without, unless it is what no server answers that is ours.
    """

    _greeting = False
    _sending = False
    _last_words = ""

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server: log in, choose the database, else ask whether it is one.

        Parameters
        ----------
        check_health
            Ask, if nothing else was.

        Raises
        ------
        BrokerRefuses
            It is another kind of server, or does not let us in.
        """
        self._greeting = True
        # Two round trips, to tell the server who made redis-py.
        self.driver_info = self.lib_name = self.lib_version = None
        try:
            super().on_connect_check_health(check_health=False)
            if isinstance(getattr(self, "handshake_metadata", None), str | bytes):
                raise redis.InvalidResponse("a word where a table is to be")
            if check_health:
                self._ask_whether_it_is_one()
        except _NO_ANSWER as error:
            raise BrokerRefuses(
                code_of(error) or "NOREDIS", type(error).__name__
            ) from error
        finally:
            self._greeting = False

    def _ask_whether_it_is_one(self) -> None:
        """Send a PING, unless the server has answered just now."""
        try:
            self.check_health()
        except redis.ResponseError as error:
            # A server that cannot write to its disk refuses even that, and is asked on.
            if not code_of(error):
                raise

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection; what the server said to a vain command is kept."""
        sock = getattr(self, "_sock", None)
        if self._sending and isinstance(sock, socket.socket):
            with suppress(OSError, ValueError):
                sock.setblocking(False)
                self._last_words = sock.recv(200).decode("latin-1")
        super().disconnect(*args, **kwargs)

    def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command.

        Raises
        ------
        BrokerRefuses
            The server has closed the connection, for it has too many clients.
        """
        self._sending, self._last_words = True, ""
        try:
            return super().send_packed_command(*args, **kwargs)
        except redis.ConnectionError as error:
            if "max number of clients" in self._last_words:
                raise BrokerRefuses("MAXCLIENTS", "max number of clients") from error
            raise
        finally:
            self._sending = False

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return a reply.

        Raises
        ------
        BrokerRefuses
            The server is there and refuses.
        """
        try:
            return super().read_response(*args, **kwargs)
        except (redis.ResponseError, redis.InvalidResponse) as error:
            if self._greeting or not (code := code_of(error)):
                raise
            raise BrokerRefuses(code, str(error).removeprefix(f"{code} ")) from error


class Once(Attentive):
    """The same, and each thing is tried once: for Celery, which tries again by itself.

    Told here and not as an option, for Kombu would no longer send in batches.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.retry = Retry(NoBackoff(), 0)


def attentive(kind: type[Any], mixin: type[Attentive] = Attentive) -> type[Any]:
    """Return redis-py's class of connections with `mixin` in front."""
    return kind if issubclass(kind, mixin) else type(kind.__name__, (mixin, kind), {})


TCP = attentive(redis.Connection)
TLS = attentive(redis.SSLConnection)
UNIX = attentive(redis.UnixDomainSocketConnection)
