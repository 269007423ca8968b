"""The server's clock, which all that write records share."""

from __future__ import annotations

import time
from typing import Any

import redis

KEEP = 60.0
"""Seconds for which the difference between two clocks is taken for known."""


class ServerClock:
    """Tells the server's time, and seldom asks for it.

    Between two questions this machine's monotonic clock goes on for it: a clock that is
    set meanwhile, here or there, shifts nothing at once.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._ahead: float | None = None
        self._known: float | None = None
        self._asked = 0.0

    def stepped(self) -> float:
        """Ask for the server's time; return by how much its clock was set since then.

        Returns
        -------
        float
            Seconds, forward or (below 0) back, exact to a round trip; 0 at first.
        """
        self._asked = -KEEP
        self.now()
        before, self._known = self._known, self._ahead
        return 0.0 if before is None or self._ahead is None else self._ahead - before

    def now(self) -> float:
        """Return the server's time, in seconds since 1970; exact to a round trip.

        A broker that does not answer is not waited for if its time was known before.
        """
        began = time.monotonic()
        if self._ahead is None or began - self._asked > KEEP:
            try:
                seconds, micros = self._client.time()
            except (redis.RedisError, OSError):
                if self._ahead is None:
                    raise
            else:
                self._asked = time.monotonic()
                self._ahead = seconds + micros / 1e6 - (began + self._asked) / 2
        return (self._ahead or 0.0) + time.monotonic()
