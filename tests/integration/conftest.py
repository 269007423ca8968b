"""What tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.credentials import log_in

from icfqueue.demo.server import DemoStore
from icfqueue.store.directory import Store


@pytest.fixture
def web(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoStore]:
    """The store directory on the web; DataLad has the login."""
    with DemoStore(store.root) as server:
        log_in(monkeypatch, server)
        yield server
