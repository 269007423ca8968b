"""The broker: its address, a connection to it, and what it must be set to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

from icfqueue.core.errors import Unreachable, UsageError
from icfqueue.core.settings import Settings

if TYPE_CHECKING:  # redis takes as long to import as the embedded server to start
    import redis
    from redis.retry import Retry

SOCKET_SCHEME = "redis+socket"
LONGEST_PAUSE = 5.0
"""Seconds, at most, between two tries of a connection that waits for its broker."""

PATIENT = 100_000
"""Tries of a worker whose broker is away: days, at five seconds each."""

QUICK_SECONDS = 4.0
"""How long whoever does not wait for a broker waits for a reply."""

CHECK_SECONDS = 2.0
"""How long a command waits for the first answer, once for the connection and once for
the reply: it is to say within five seconds that the broker is away."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is; `url` may hold a password and is never shown.

    Attributes
    ----------
    url
        ``redis://``, ``rediss://`` or ``redis+socket:///path``, as Celery has it.
    ca_file
        Certificate authority for ``rediss://``; the system's own if None.
    """

    url: str
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"Broker({self.shown})"

    @property
    def shown(self) -> str:
        """The address without its password, for people."""
        scheme, _, rest = self.url.partition("://")
        if not rest.startswith("/"):
            # Not by urlsplit: it takes a "/" or "#" in a password for the end of the host.
            rest = rest.rpartition("@")[2]
        return f"{scheme}://{rest.partition('?')[0]}"

    @property
    def tls(self) -> dict[str, Any]:
        """Celery's ``broker_use_ssl`` for this address; empty without TLS."""
        if not self.url.startswith("rediss://"):
            return {}
        import ssl

        options: dict[str, Any] = {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            # Said here, for redis-py 5 did not ask whose certificate it is.
            "ssl_check_hostname": True,
        }
        if self.ca_file:
            options["ssl_ca_certs"] = str(self.ca_file)
        return options

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.url.startswith(f"{SOCKET_SCHEME}:")

    def connect(
        self, *, patient: bool = False, longest_pause: float = LONGEST_PAUSE
    ) -> redis.Redis:
        """Return a connection whose replies are text.

        Parameters
        ----------
        patient
            Wait for a broker that is away instead of failing; for workers.
        longest_pause
            Seconds, at most, between two tries of one that waits. Less than a lease: the
            outcome of a step waits in such a pause, and nobody renews its lease then.
        """
        from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
        from redis.retry import Retry

        from icfqueue.broker.sockets import REPLY_SECONDS

        if patient:
            backoff = ExponentialWithJitterBackoff(base=0.05, cap=longest_pause)
            return self._connect(Retry(backoff, PATIENT), REPLY_SECONDS)
        return self._connect(Retry(NoBackoff(), 1), QUICK_SECONDS)

    def _connect(self, retry: Retry, timeout: float) -> redis.Redis:
        import redis

        from icfqueue.broker import sockets

        options: dict[str, Any] = {"connection_class": sockets.UNIX}
        if not self.is_socket:
            kind = sockets.TLS if self.tls else sockets.TCP
            options = {**sockets.OVER_TCP, "connection_class": kind, **self.tls}
            options["socket_connect_timeout"] = min(sockets.CONNECT_SECONDS, timeout)
        return redis.Redis.from_url(
            self._redis_url(),
            decode_responses=True,
            # What somebody else wrote may be no text: then it is no record either.
            encoding_errors="backslashreplace",
            retry=retry,
            retry_on_error=[redis.ConnectionError, redis.TimeoutError],
            socket_timeout=timeout,
            health_check_interval=sockets.CHECK_EVERY,
            **options,
        )

    def check(self) -> redis.Redis:
        """Return a connection that was tried.

        Raises
        ------
        Unreachable
            The broker does not answer or refuses; one line, without the password.
        """
        import redis

        try:
            self._ping()
        except (redis.RedisError, OSError) as error:
            raise self.unreachable(error) from error
        return self.connect()

    def _ping(self) -> None:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from icfqueue.broker.refusals import BrokerRefuses

        # One try on a connection of its own: each further one doubles the time that a
        # host which swallows packets takes.
        with self._connect(Retry(NoBackoff(), 0), CHECK_SECONDS) as probe:
            try:
                probe.ping()
            except BrokerRefuses as error:
                # A server that cannot write to its disk refuses even that, and can be
                # asked for all it knows.
                if error.code != "MISCONF":
                    raise

    def unreachable(self, error: BaseException) -> Unreachable:
        """Return the error to raise for `error`; one line, without the password."""
        from icfqueue.broker import refusals

        found = refusals.words(error)
        return Unreachable(f"the broker at {self.shown} {found.found}", hint=found.remedy)

    def _redis_url(self) -> str:
        parts = urlsplit(self.url)
        if parts.scheme != SOCKET_SCHEME:
            return self.url
        # Celery names the database of a socket in the query, redis-py calls it db.
        query = parts.query.replace("virtual_host=", "db=")
        return f"unix://{parts.netloc}{parts.path}{'?' if query else ''}{query}"


def configured(settings: Settings) -> Broker | None:
    """Return the broker that the settings name; None means the embedded server.

    Raises
    ------
    UsageError
        The address is none of a Redis or Valkey server; it is not shown, for the part
        that is wrong may be the password.
    """
    if settings.broker_url is None:
        return None
    url = settings.broker_url.reveal()
    if url.startswith("unix://"):
        url = url.replace("unix", SOCKET_SCHEME, 1)
    parts = _checked_parts(url)
    if settings.broker_password and parts.password is None:
        secret = quote(settings.broker_password.reveal(), safe="")
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{user}:{secret}@{host}"
        url = url.replace(f"://{parts.netloc}", f"://{netloc}", 1)
    return Broker(url, settings.broker_ca_file)


def _checked_parts(url: str) -> SplitResult:
    """Return the parts of `url`, if host, port and login can be told apart."""
    scheme = url.partition("://")[0]
    if scheme not in {"redis", "rediss", SOCKET_SCHEME}:
        raise UsageError(
            "the broker's address is none of a Redis or Valkey server",
            hint="use redis://host:port/0, rediss://host:port/0 or redis+socket:///path",
        )
    with suppress(ValueError):
        parts = urlsplit(url)
        host = parts.path.strip("/") if scheme == SOCKET_SCHEME else parts.hostname
        # Asking for the port checks that it is a number.
        if host and (parts.port is None or parts.port > 0):
            return parts
    raise UsageError(
        "the broker's address has no host, or a port that is no number",
        hint="in a password, '/', '#', '?', '@' and '%' are written as %2F, %23, %3F, "
        "%40 and %25; or set it by ICFQUEUE_BROKER_PASSWORD",
    )


def faults(client: redis.Redis) -> list[tuple[str, str]]:
    """Return the settings of a server under which records could be lost.

    Returns
    -------
    list of (str, str)
        What was found and the remedy; empty if all is well.
    """
    info: Any = client.info()
    found = []
    if not info.get("aof_enabled"):
        found.append(("the append-only file is off", "set 'appendonly yes'"))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append((f"maxmemory-policy is {policy}", "set 'maxmemory-policy noeviction'"))
    return found
