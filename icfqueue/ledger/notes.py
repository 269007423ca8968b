"""Notes that workers leave for each other, most with an end of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from icfqueue.ledger.keys import key

if TYPE_CHECKING:
    import redis


class Notes(Protocol):
    """Short texts and counters by name."""

    def put(self, name: str, text: str, seconds: float | None = None) -> None:
        """Leave a note for all workers, for good or for `seconds`."""

    def get(self, name: str) -> str | None:
        """Return the note called `name`, or None."""

    def get_all(self, names: Sequence[str]) -> list[str | None]:
        """Return the notes called `names`, in one round trip."""

    def ends_in(self, name: str) -> float:
        """Return for how many more seconds the note stands; 0 if there is none."""

    def drop(self, *names: str) -> None:
        """Remove notes."""

    def count_up(self, name: str, seconds: float) -> int:
        """Add one to a counter that is forgotten `seconds` after its last change."""


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
        found = self._client.get(key(name))
        return None if found is None else str(found)

    def get_all(self, names: Sequence[str]) -> list[str | None]:
        """Return the notes called `names`, in one round trip."""
        # Not MGET: who was given the rights of an earlier release may not use it.
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.get(key(name))
        return [None if found is None else str(found) for found in pipe.execute()]

    def ends_in(self, name: str) -> float:
        """Return for how many more seconds the note stands; 0 if there is none."""
        left: int = self._client.pttl(key(name))
        return max(0.0, left / 1000)

    def drop(self, *names: str) -> None:
        """Remove notes."""
        self._client.delete(*(key(name) for name in names))

    def count_up(self, name: str, seconds: float) -> int:
        """Add one to a counter that is forgotten `seconds` after its last change."""
        pipe = self._client.pipeline()
        pipe.incr(key(name))
        pipe.pexpire(key(name), int(seconds * 1000))
        return int(pipe.execute()[0])
