"""Room on the store's disk, promised to downloads: each promise has an end of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from icfqueue.core.guard import Answer
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import key
from icfqueue.ledger.stored import lua_scripts, spoilt
from icfqueue.ledger.stored.spoilt import mended

if TYPE_CHECKING:
    import redis


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

    def mend(self) -> None:
        """Forget all promises: what has their name is something else."""
        spoilt.drop(self._client, self._where[0], "it is no hash")

    @mended
    def promise(
        self, visit: Visit, token: str, size: int, free: int, seconds: float
    ) -> Answer:
        """Promise `size` bytes to a visit, if they fit beside what others are promised."""
        args = [str(visit), token, size, free, int(seconds * 1000)]
        granted, others = self._promise(keys=self._where, args=args)
        return Answer(bool(granted), int(others))

    @mended
    def keep(self, visit: Visit, token: str, size: int, seconds: float) -> None:
        """Renew a promise, by now for `size` bytes; not one that another lease holds."""
        args = [str(visit), token, size, int(seconds * 1000)]
        self._keep(keys=self._where, args=args)

    @mended
    def release(self, visit: Visit, token: str) -> None:
        """End a promise, unless another lease holds it by now."""
        self._release(keys=self._where, args=[str(visit), token])

    @mended
    def promised(self) -> dict[str, int]:
        """Return visit to bytes of every promise, ended ones that nobody swept too."""
        found = self._client.hgetall(self._where[0])
        read = {
            visit: spoilt.amounts(text.rpartition(" ")[0]) for visit, text in found.items()
        }
        # What is none, the next promise sweeps.
        return {visit: two[1] for visit, two in read.items() if two}
