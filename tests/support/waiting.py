"""Time in tests: waiting for what must come, and letting it pass without waiting.

A test that sleeps and then looks shows something only on a machine that is quick enough.
So what must come is waited for, for far longer than it ever takes; and where time itself
is the point, it is moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from icfqueue.ledger.keys import PREFIX, key


def wait_until(
    true: Callable[[], object], seconds: float, what: str, tell: Callable[[], str] = str
) -> None:
    """Wait until `true` is; fail with `what` and what `tell` says after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{tell()}")
        time.sleep(0.03)


def pass_time(client: Any, seconds: float) -> None:
    """Let all times of the ledger be `seconds` ago, as if its server's clock had gone on.

    Leases, retries and flushes are due that much sooner, locks and notes end sooner.
    """
    for name in list(client.scan_iter(f"{PREFIX}*", count=1000)):
        if client.type(name) == "zset":
            # Those of the workers are in seconds, all others in milliseconds.
            earlier = -seconds if name == key("workers") else -1000 * seconds
            for member in client.zrange(name, 0, -1):
                # What is taken out meanwhile must not come back.
                client.zadd(name, {member: earlier}, xx=True, incr=True)
        elif name == key("room"):
            for visit, text in client.hgetall(name).items():
                ends, rest = text.split(" ", 1)
                client.hset(name, visit, f"{int(ends) - int(1000 * seconds)} {rest}")
        elif name == key("signs"):
            for worker, text in client.hgetall(name).items():
                seen, rest = text.split(" ", 1)
                client.hset(name, worker, f"{int(seen) - int(1000 * seconds)} {rest}")
        elif (left := client.pttl(name)) >= 0:
            if left > 1000 * seconds:
                client.pexpire(name, int(left - 1000 * seconds))
            else:
                client.delete(name)


class Clock:
    """Stands for the module ``time`` in a module under test: goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.time = time.time

    def monotonic(self) -> float:
        return self.now
