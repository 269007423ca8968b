"""What a broker says when it is there and refuses, and what that means.

The one place that decides it. A broker at its brink is a broker that is away: whoever
works waits and goes on, however long, and no visit is charged with it. Connections
(:mod:`icfqueue.broker.sockets`) turn its answers into :class:`BrokerRefuses`, which is a
``redis.ConnectionError``: whatever waits for a broker that is away waits for this, too.

Source: the error codes in ``src/server.c`` and ``src/script.c`` of Valkey 7.2 to 9 and
Redis 6.2 to 8. A server refuses a script before its first write or not at all, so that a
refused script may be called again.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from icfqueue.ledger.keys import key

log = logging.getLogger(__name__)

CA_SETTING = "broker_ca_file"

LOOK = " try 'icfqueue doctor'"
"""The end of a remedy, for all but that command."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a broker does, in words that follow "the broker", and what helps."""

    found: str
    remedy: str


_WAITING = "workers wait and go on by themselves; nothing is lost"

REFUSALS = {
    "OOM": Refusal(
        "has no memory left",
        f"raise its 'maxmemory' or take away what else it keeps; {_WAITING}",
    ),
    "MISCONF": Refusal(
        "cannot write its data to its disk",
        f"make room on the broker's disk; {_WAITING}",
    ),
    "READONLY": Refusal(
        "only reads: it is a replica of another server",
        f"name the primary with --broker, or make it one; {_WAITING}",
    ),
    "LOADING": Refusal("is still reading its data", _WAITING),
    "BUSY": Refusal(
        "is busy with somebody's script",
        f"'valkey-cli SCRIPT KILL' ends that; {_WAITING}",
    ),
    "NOREPLICAS": Refusal(
        "has too few replicas to accept anything",
        f"look at its replicas and at 'min-replicas-to-write'; {_WAITING}",
    ),
    "MASTERDOWN": Refusal("has lost its primary", _WAITING),
    "CLUSTERDOWN": Refusal("is part of a cluster that is down", _WAITING),
    "TRYAGAIN": Refusal("is moving its data", _WAITING),
    "NOAUTH": Refusal(
        "refuses the password",
        "set ICFQUEUE_BROKER_URL or ICFQUEUE_BROKER_PASSWORD",
    ),
    "WRONGPASS": Refusal(
        "refuses the password",
        "set ICFQUEUE_BROKER_URL or ICFQUEUE_BROKER_PASSWORD",
    ),
    "MAXCLIENTS": Refusal(
        "has as many clients as it takes",
        f"raise its 'maxclients'; {_WAITING}",
    ),
    "NOPERM": Refusal(
        "does not let its user do what is needed",
        "ops/valkey/users.acl has the rights that each kind of user needs",
    ),
    "NOREDIS": Refusal(
        "is no Redis or Valkey server",
        "does --broker name the right port, and rediss:// where it speaks TLS?",
    ),
    "NODB": Refusal(
        "has no database of that number",
        "the address that --broker names ends in it; /0 is always there",
    ),
}
"""Error code of the server, or of what is in its place, to what it means."""

_RIGHTS = re.compile(r"run the '([^']+)' command")
_IN_SCRIPT = re.compile(rf"(?:^|[\s:-])({'|'.join(REFUSALS)}) ")


class BrokerRefuses(redis.ConnectionError):
    """The broker is there and refuses: as good as away.

    Attributes
    ----------
    code
        A key of :data:`REFUSALS`.
    """

    def __init__(self, code: str, said: str) -> None:
        super().__init__(f"{code} {said}")
        self.code = code
        self.said = said

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.said)


def code_of(error: BaseException) -> str | None:
    """Return the code of a refusal, a key of :data:`REFUSALS`; None of other errors."""
    if isinstance(error, BrokerRefuses):
        return error.code
    if isinstance(error, redis.AuthenticationError):
        return "NOAUTH" if "required" in str(error) else "WRONGPASS"
    for kind, code in _CLASSES:
        if isinstance(error, kind):
            return code
    if isinstance(error, redis.ResponseError):
        return _code_in(str(error))
    if isinstance(error, redis.InvalidResponse):
        return "NOREDIS"
    return "MAXCLIENTS" if "max number of clients" in str(error) else None


def _code_in(text: str) -> str | None:
    """Return the code in an answer of which redis-py makes nothing."""
    word = text.partition(" ")[0].lstrip("-")
    if word in REFUSALS:
        return word
    if "DB index" in text:
        return "NODB"
    if "ACL failure in script" in text:
        return "NOPERM"
    # Before version 7, a script's own error has the reason within it.
    found = _IN_SCRIPT.search(text) if "script" in text else None
    return found[1] if found else None


_CLASSES: tuple[tuple[type[redis.RedisError], str], ...] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN"),
    (redis.exceptions.TryAgainError, "TRYAGAIN"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
)
"""What redis-py makes of codes, of which the message then says nothing."""


def is_away(error: BaseException) -> bool:
    """Tell whether `error` means that the broker is away, or as good as that.

    Errors of the operating system alone do not: they may be a disk's.
    """
    return any(
        isinstance(one, redis.ConnectionError | redis.TimeoutError)
        or code_of(one) is not None
        or (type(one).__module__, type(one).__name__) in _KOMBU
        for one in _chain(error)
    )


_KOMBU = {("kombu.exceptions", name) for name in ("OperationalError", "BatchPublishError")}
"""What Kombu makes of a broker that is away; by name, for it is slow to import."""


def is_refusal(error: BaseException) -> bool:
    """Tell whether the broker is there and refuses, or is not trusted."""
    return any(
        code_of(one) is not None or isinstance(one, ssl.SSLCertVerificationError)
        for one in _chain(error)
    )


def is_answer(error: BaseException) -> bool:
    """Tell whether the broker is there and answered with an error of any kind."""
    return any(isinstance(one, redis.ResponseError) for one in _chain(error))


def words(error: BaseException) -> Refusal:
    """Return what the broker does, for a person, without address and password.

    The words follow "the broker": "does not answer", "has no memory left".
    """
    for one in _chain(error):
        if code := code_of(one):
            known = REFUSALS[code]
            return Refusal(f"{known.found}{_more(code, one)}", known.remedy)
        if isinstance(one, ssl.SSLCertVerificationError):
            return _certificate(one)
    return Refusal(
        f"does not answer ({_reason(error)})",
        f"is it running? does --broker name it?{LOOK}",
    )


def _more(code: str, error: BaseException) -> str:
    """Return what the server's own words add to ours."""
    said = str(error)
    if code == "MISCONF":
        _, _, disk = said.rpartition("AOF file: ")
        return f" ({disk.rstrip('.').lower()})" if disk and disk != said else ""
    if code == "NOPERM" and (found := _RIGHTS.search(said)):
        return f": the command {found[1].upper().replace('|', ' ')}"
    if code == "NOPERM":
        what = "channel" if "channel" in said else "key"
        return f": {what}s outside of what it is given"
    return ""


def _certificate(error: ssl.SSLCertVerificationError) -> Refusal:
    """Return what is wrong with a broker's certificate (codes: ``X509_V_ERR_…``)."""
    said = (error.verify_message or "it cannot be verified").rstrip(".")
    remedy = "the broker's certificate must be valid for the name in its address"
    if error.verify_code in {2, 18, 19, 20, 21}:
        remedy = (
            f"set {CA_SETTING} (ICFQUEUE_{CA_SETTING.upper()}) to the file of the "
            "authority that signed it"
        )
    return Refusal(f"shows a certificate that is not trusted ({said})", remedy)


def _reason(error: BaseException) -> str:
    # redis-py repeats host and port; the operating system's own words are enough.
    cause = error.__cause__ or error.__context__ or error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text).strip().rstrip(".").lower()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what it came from."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def try_to_write(client: Any) -> None:
    """Write something that is gone at once.

    Raises
    ------
    BrokerRefuses
        The broker refuses what is written.
    """
    client.set(key("probe"), "", px=1)


def refused_writes(client: Any) -> Refusal | None:
    """Return what the broker does if it refuses to be written to, for who only asks."""
    try:
        try_to_write(client)
    except BrokerRefuses as error:
        # A user who may only read has nothing to be told.
        return None if error.code == "NOPERM" else words(error)
    return None


@dataclass
class Outage:
    """Says that the broker is away when that begins, now and then, and when it ends.

    Attributes
    ----------
    who
        Whose connection it is, for the log.
    every
        Seconds between two words about the same cause.
    """

    who: str
    every: float = 60.0
    since: float | None = None
    _said: dict[str, float] = field(default_factory=dict)

    def note(self, error: BaseException) -> None:
        """Note that the broker is away, as `error` tells."""
        now = time.monotonic()
        if self.since is None:
            self.since = now
        found = words(error)
        if now >= self._said.get(found.found, 0.0):
            self._said[found.found] = now + self.every
            log.warning(
                "broker.away: for the %s the broker %s; %s",
                self.who,
                found.found,
                found.remedy,
            )

    def over(self) -> None:
        """Note that the broker answers."""
        if self.since is not None:
            seconds = time.monotonic() - self.since
            log.warning("broker.back: for the %s after %.1f s", self.who, seconds)
            self.since = None
            self._said.clear()
