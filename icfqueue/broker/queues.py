"""What lies in the queues, as Celery's transport keeps them in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from icfqueue.broker.celery_app import LEVELS, SEPARATOR, UNACKED

if TYPE_CHECKING:
    import redis


class Queues:
    """The queues of one broker, looked at and never changed.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def depth(self, queue: str) -> int:
        """Return how many messages wait in `queue`."""
        pipe = self._client.pipeline(transaction=False)
        for name in lists(queue):
            pipe.llen(name)
        return sum(pipe.execute())

    def unacknowledged(self) -> int:
        """Return how many messages workers hold, or held when they vanished."""
        return int(self._client.hlen(UNACKED))

    def waiting(self, queue: str) -> Iterator[str]:
        """Yield ``project/visit`` of every message that waits in `queue`.

        Reads the whole queue, a thousand messages at a time; only asked for when the
        numbers do not add up.
        """
        for name in lists(queue):
            start = 0
            while messages := self._client.lrange(name, start, start + 999):
                for message in messages:
                    # What somebody else put there is no visit's.
                    with suppress(ValueError, LookupError, TypeError):
                        task = str(json.loads(message)["headers"]["id"])
                        yield "/".join(task.split("/")[:2])
                start += len(messages)


def lists(queue: str) -> list[str]:
    """Return the Redis lists that make up `queue`, one for each priority."""
    return [queue, *(f"{queue}{SEPARATOR}{level}" for level in LEVELS[1:])]
