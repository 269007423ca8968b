"""The command line on a store directory and a real broker."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from kombu import pools
from support.command_line import Commands
from support.valkey import Valkey

from icfqueue.cli.session import Session, session
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.store.directory import Store


@pytest.fixture
def icfqueue(store: Store, ledger: RedisLedger, valkey: Valkey) -> Iterator[Commands]:
    where = ["--store-dir", str(store.root), "--broker", valkey.broker.url]
    yield Commands(store, ledger, [*where, "--store-url", "http://127.0.0.1:9"])
    # Kombu's pools are shared by all applications of a process.
    pools.reset()


@pytest.fixture
def told_to_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a command that serves until it is told to end be told so at once."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "pause", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def opened(store: Store, valkey: Valkey) -> Iterator[Session]:
    """What a command works with, on this store directory and broker."""
    with session({"store_dir": store.root, "broker": valkey.broker.url}) as made:
        yield made
