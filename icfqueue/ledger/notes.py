"""Notes that workers leave for each other, most with an end of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import redis

from icfqueue.ledger.keys import key
from icfqueue.ledger.stored import spoilt

T = TypeVar("T")


class Notes(Protocol):
    """Short texts and counters by name."""

    def put(self, name: str, text: str, seconds: float | None = None) -> None:
        """Leave a note for all workers, for good or for `seconds`."""

    def get(self, name: str) -> str | None:
        """Return the note called `name`, or None."""

    def there(self, names: Sequence[str]) -> bool:
        """Return whether anything is called by one of `names`, in one round trip."""

    def read(self, name: str, meaning: Callable[[str], T | None]) -> T | None:
        """Return what the note called `name` means, or None.

        Parameters
        ----------
        meaning
            Returns None of a text that means nothing: the note is then dropped.
        """

    def ends_in(self, name: str, usual: float | None = None, longest: float = 0.0) -> float:
        """Return for how many more seconds the note stands; 0 if there is none.

        Parameters
        ----------
        usual
            Seconds for which such a note is left as a rule: one that has no end, which
            nobody of us left, gets this one.
        longest
            The most: one with a later end, and than `usual`, gets this one.
        """

    def drop(self, *names: str) -> None:
        """Remove notes."""

    def count_up(self, name: str, seconds: float) -> int:
        """Add one to a counter that is forgotten `seconds` after its last change."""


_ENDLESS = -1
"""What a server answers about the end of a key that has none (``PTTL``)."""


class RedisNotes:
    """Notes in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def put(self, name: str, text: str, seconds: float | None = None) -> None:
        """Leave a note for all workers, for good or for `seconds`."""
        end = None if seconds is None else max(1, int(seconds * 1000))
        self._client.set(key(name), text, px=end)

    def get(self, name: str) -> str | None:
        """Return the note called `name`, or None."""
        return self.read(name, str)

    def there(self, names: Sequence[str]) -> bool:
        """Return whether anything is called by one of `names`, in one round trip."""
        # Not MGET: who was given the rights of an earlier release may not use it.
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.get(key(name))
        # What is no text is looked at by who reads it.
        return any(found is not None for found in pipe.execute(raise_on_error=False))

    def read(self, name: str, meaning: Callable[[str], T | None]) -> T | None:
        """Return what the note called `name` means, or None."""
        return spoilt.read(self._client, key(name), meaning)

    def ends_in(self, name: str, usual: float | None = None, longest: float = 0.0) -> float:
        """Return for how many more seconds the note stands; 0 if there is none."""
        left: int = self._client.pttl(key(name))
        if usual is None:
            return max(0.0, left / 1000)
        most = max(1, int(1000 * (usual if left == _ENDLESS else max(usual, longest))))
        if left == _ENDLESS or left > most:
            left = most
            self._client.pexpire(key(name), left)
        return max(0.0, left / 1000)

    def drop(self, *names: str) -> None:
        """Remove notes."""
        self._client.delete(*(key(name) for name in names))

    def count_up(self, name: str, seconds: float) -> int:
        """Add one to a counter that is forgotten `seconds` after its last change."""
        try:
            return self._count_up(name, seconds)
        except redis.ResponseError as error:
            if not spoilt.is_spoilt(error):
                raise
        spoilt.drop(self._client, key(name), "it is no number")
        return self._count_up(name, seconds)

    def _count_up(self, name: str, seconds: float) -> int:
        pipe = self._client.pipeline()
        pipe.incr(key(name))
        pipe.pexpire(key(name), int(seconds * 1000))
        return int(pipe.execute()[0])
