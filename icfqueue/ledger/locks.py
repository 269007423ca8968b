"""Locks, and room promised to downloads: each with an end of its own.

Whoever vanishes holds nothing for long.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from icfqueue.core.visit import Visit
from icfqueue.ledger import lua_scripts
from icfqueue.ledger.keys import key

if TYPE_CHECKING:
    import redis


_LONG = 60.0
"""Seconds up to which a lease is nothing special: locks that are held for a lease's
length by workers of other settings are left alone."""


class Locks(Protocol):
    """Locks by name; each is held with a token, for so many seconds."""

    def take(self, name: str, token: str, seconds: float, longest: float = 0.0) -> bool:
        """Take the lock `name`, or renew it if `token` holds it.

        Parameters
        ----------
        longest
            Seconds that nobody takes it for longer than: should it be held beyond, the
            server's clock was set back, and it is held for no longer than this. 0 if
            that is not known.
        """

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Prolong the lock `name`; False if it was lost, even if it is free again."""

    def release(self, name: str, token: str) -> None:
        """Give the lock back, if `token` still holds it."""

    def holding(
        self, name: str, seconds: float, wait: float = 0.0
    ) -> AbstractContextManager[str | None]:
        """Hold the lock `name`; yields its token, or None if it is not to be had.

        Parameters
        ----------
        seconds
            After which it is free again unless it is renewed.
        wait
            Seconds to wait for its holder.
        """


class Answer(NamedTuple):
    """Whether room was promised, and the bytes that others are promised."""

    granted: bool
    others: int


class Room(Protocol):
    """Room on the store's disk that is promised to downloads under way.

    What is free now is not free for everybody: ten downloads that begin at once each see
    all of it. So each has the bytes promised that are still to come, for all workers and
    hosts of the store. A promise ends with its holder's lease unless it is renewed with
    that, by then for fewer bytes: what was received is no longer free and needs none.
    """

    def promise(
        self, visit: Visit, token: str, size: int, free: int, seconds: float
    ) -> Answer:
        """Promise `size` bytes to a visit, if they fit beside what others are promised.

        Parameters
        ----------
        visit, token
            Whose promise it is, and the token of the visit's lease. It takes the place
            of an earlier promise to the same visit.
        free
            Bytes that are free; may be below 0.
        seconds
            How long the promise is good for.
        """

    def keep(self, visit: Visit, token: str, size: int, seconds: float) -> None:
        """Renew a promise, by now for `size` bytes; not one that another lease holds."""

    def release(self, visit: Visit, token: str) -> None:
        """End a promise, unless another lease holds it by now."""

    def promised(self) -> dict[str, int]:
        """Return visit to bytes of every promise, ended ones that nobody swept too."""


class RedisLocks:
    """Locks in Redis; their ends are in the server's own time."""

    def __init__(self, client: redis.Redis) -> None:
        self._take = lua_scripts.Script(client, lua_scripts.LOCK)
        self._renew = lua_scripts.Script(client, lua_scripts.RENEW_LOCK)
        self._release = lua_scripts.Script(client, lua_scripts.UNLOCK)

    def take(self, name: str, token: str, seconds: float, longest: float = 0.0) -> bool:
        """Take the lock `name`, or renew it if `token` holds it."""
        args = [token, int(seconds * 1000), int(longest * 1000)]
        return bool(self._take(keys=[key("lock", name)], args=args))

    def renew(self, name: str, token: str, seconds: float) -> bool:
        """Prolong the lock `name`; False if it was lost, even if it is free again."""
        args = [token, int(seconds * 1000)]
        return bool(self._renew(keys=[key("lock", name)], args=args))

    def release(self, name: str, token: str) -> None:
        """Give the lock back, if `token` still holds it."""
        self._release(keys=[key("lock", name)], args=[token])

    @contextmanager
    def holding(self, name: str, seconds: float, wait: float = 0.0) -> Iterator[str | None]:
        """Hold the lock `name`; yields its token, or None if it is not to be had."""
        token = secrets.token_hex(8)
        end = time.monotonic() + wait
        longest = 2 * max(seconds, _LONG)
        while (
            not (got := self.take(name, token, seconds, longest)) and time.monotonic() < end
        ):
            time.sleep(0.1)
        try:
            yield token if got else None
        finally:
            if got:
                self.release(name, token)


class RedisRoom:
    """The promises in Redis; their ends are in the server's own time.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._where = [key("room")]
        self._promise = lua_scripts.Script(client, lua_scripts.PROMISE)
        self._keep = lua_scripts.Script(client, lua_scripts.KEEP_PROMISE)
        self._release = lua_scripts.Script(client, lua_scripts.RELEASE)

    def promise(
        self, visit: Visit, token: str, size: int, free: int, seconds: float
    ) -> Answer:
        """Promise `size` bytes to a visit, if they fit beside what others are promised."""
        args = [str(visit), token, size, free, int(seconds * 1000)]
        granted, others = self._promise(keys=self._where, args=args)
        return Answer(bool(granted), int(others))

    def keep(self, visit: Visit, token: str, size: int, seconds: float) -> None:
        """Renew a promise, by now for `size` bytes; not one that another lease holds."""
        args = [str(visit), token, size, int(seconds * 1000)]
        self._keep(keys=self._where, args=args)

    def release(self, visit: Visit, token: str) -> None:
        """End a promise, unless another lease holds it by now."""
        self._release(keys=self._where, args=[str(visit), token])

    def promised(self) -> dict[str, int]:
        """Return visit to bytes of every promise, ended ones that nobody swept too."""
        found = self._client.hgetall(self._where[0])
        return {visit: int(text.split()[1]) for visit, text in found.items()}
