"""Everything that a worker process works with."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from icfqueue.core.settings import Settings
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.retry_policy import RetryPolicy
from icfqueue.ledger.roster import JobSign
from icfqueue.pipeline.health.circuit_breaker import CircuitBreaker
from icfqueue.pipeline.health.store_watch import StoreWatch
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.pipeline.messages import Messages
from icfqueue.store.directory import Store


@dataclass
class WorkerContext:
    """Everything that a worker process works with.

    Attributes
    ----------
    ledger
        Waits for a broker that is away.
    quick
        The same records over a connection that does not wait.
    name
        ``host:pid``, as status shows it.
    stopping
        Whether the process was asked to stop.
    keys
        A git-annex that is kept running; None has one started for each visit.
    show
        Shows the main process what this one is at; None: nothing.
    watch
        Whether the store is there, and the one that the broker works for.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    quick: Ledger
    messages: Messages
    stopping: Stopping = field(default_factory=Stopping)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    keys: KeySource | None = None
    show: Callable[[JobSign | None], None] = lambda _: None
    watch: StoreWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = StoreWatch(self.store, self.ledger)

    @property
    def policy(self) -> RetryPolicy:
        """How transient failures are retried."""
        chosen = self.settings
        return RetryPolicy(
            chosen.max_attempts, chosen.retry_base, chosen.retry_cap, chosen.disk_pause
        )

    @property
    def breaker(self) -> CircuitBreaker:
        """Keeps this worker from trying what is known to fail."""
        return CircuitBreaker(self.ledger, self.settings)
