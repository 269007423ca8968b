"""Locks by name, each with an end of its own: whoever vanishes holds none for long."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from icfqueue.ledger.keys import key
from icfqueue.ledger.stored import lua_scripts, spoilt

if TYPE_CHECKING:
    import redis


_LONG = 60.0
"""Seconds up to which a lease is nothing special: locks that are held for a lease's
length by workers of other settings are left alone."""


_WAS_NONE = 2
"""Answer of :data:`lua_scripts.LOCK` where something else had the lock's name."""


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


class RedisLocks:
    """Locks in Redis; their ends are in the server's own time."""

    def __init__(self, client: redis.Redis) -> None:
        self._take = lua_scripts.Script(client, lua_scripts.LOCK)
        self._renew = lua_scripts.Script(client, lua_scripts.RENEW_LOCK)
        self._release = lua_scripts.Script(client, lua_scripts.UNLOCK)

    def take(self, name: str, token: str, seconds: float, longest: float = 0.0) -> bool:
        """Take the lock `name`, or renew it if `token` holds it."""
        args = [token, int(seconds * 1000), int(longest * 1000)]
        where = key("lock", name)
        got = int(self._take(keys=[where], args=args))
        if got == _WAS_NONE:
            spoilt.say(where, "it was no lock; taken for absent")
        return bool(got)

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
