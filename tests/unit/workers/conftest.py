"""The Celery side within the test's process, on a store directory and broker of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ledger import disconnect
from support.valkey import Valkey

from icfqueue.store.directory import Store
from workers import context


@pytest.fixture
def worker(
    store: Store, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> Iterator[context.WorkerContext]:
    """What this process works with; not asked to stop, and forgotten afterwards."""
    monkeypatch.setenv("ICFQUEUE_STORE_DIR", str(store.root))
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", valkey.broker.url)
    monkeypatch.setattr(context, "_contexts", {})
    monkeypatch.setattr(context._stop_asked, "value", 0.0)
    made = context.this_worker()
    yield made
    disconnect(made)
    if made.keys:
        made.keys.close()
