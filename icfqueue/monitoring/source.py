"""A broker that is asked now and then, and may be away in between."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import redis

from icfqueue.broker import connection
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.broker.queues import Queues
from icfqueue.broker.refusals import words
from icfqueue.core.errors import IcfqueueError, NothingYet
from icfqueue.core.settings import Settings
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.monitoring.reading import Reading, read
from icfqueue.store.directory import Store

log = logging.getLogger(__name__)


SLOW = 1.0
"""Seconds from which on a reading is kept for a while."""


class Source:
    """Reads the queue that the settings name; a context manager.

    The embedded server is kept running, so that there is something to ask between two
    commands; where nothing was ever enqueued none is started.

    Parameters
    ----------
    settings
        Where store and broker are.

    Raises
    ------
    UsageError
        There is no store directory whose embedded server could be asked.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._configured = connection.configured(settings)
        self._embedded: EmbeddedServer | None = None
        self._client: redis.Redis | None = None
        self._trouble = ""
        self._kept: Reading | None = None
        self._kept_until = 0.0
        self._opened = ExitStack()
        if self._configured is None:
            Store.of(settings).check_is_there()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def ask(self) -> Reading | None:
        """Return a reading; None if the broker does not answer, which is logged.

        It says so within some seconds, less than Prometheus waits by default (10 s).
        """
        try:
            found = self._read()
        except IcfqueueError as error:
            self._note(f"{error.message}. {error.hint}".rstrip())
            return None
        except (redis.RedisError, OSError) as error:
            # Whatever is wrong with it, the next scrape may find it well.
            found_words = words(error)
            self._note(f"the broker {found_words.found}. {found_words.remedy}")
            return None
        self._note("")
        return found

    def _note(self, trouble: str) -> None:
        """Log what is wrong when that changes; empty if nothing is."""
        if trouble and trouble != self._trouble:
            log.warning("metrics.none: %s", trouble)
        elif self._trouble and not trouble:
            log.warning("metrics.again: the broker answers")
        self._trouble = trouble

    def _read(self) -> Reading:
        broker = self._broker()
        checked = broker.check()
        if self._client is None:
            self._client = checked
            self._opened.callback(checked.close)
        ledger = RedisLedger(self._client)
        ledger.check_layout()
        if self._kept is not None and time.monotonic() < self._kept_until:
            return self._kept
        chosen = self.settings
        found = read(ledger, Queues(self._client), chosen.store_dir, chosen.store_url)
        if found.seconds > SLOW:
            # Tens of thousands of visits have failed: asking gets a tenth of the time.
            self._kept, self._kept_until = found, time.monotonic() + 9 * found.seconds
        return found

    def _broker(self) -> connection.Broker:
        """Return the broker; an embedded one runs then."""
        if self._configured is not None:
            return self._configured
        if self._embedded is None:
            store = Store.of(self.settings)
            embedded = EmbeddedServer(store.root)
            if not store.holds(embedded.folder):
                raise NothingYet(f"nothing was ever enqueued in {store.root}")
            self._opened.enter_context(embedded)
            self._embedded = embedded
        self._embedded.ensure()
        return self._embedded.broker
