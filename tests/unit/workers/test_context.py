"""What each process of a worker works with, and when it is to stop."""

from __future__ import annotations

import multiprocessing
import time

import pytest
from support.ledger import client_of, disconnect

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.settings import Secret, Settings
from icfqueue.store.directory import Store
from workers import context
from workers.context import WorkerContext


def test_a_process_has_one_context_and_a_fork_another(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections must not be shared."""
    assert context.this_worker() is worker
    monkeypatch.setattr(context.os, "getpid", lambda: -1)
    other = context.this_worker()
    try:
        assert other is not worker
        assert other.ledger is not worker.ledger
    finally:
        disconnect(other)


def test_it_is_made_of_the_settings_with_a_patient_and_a_quick_connection(
    worker: WorkerContext, store: Store
) -> None:
    assert worker.store.root == store.root
    assert worker.ledger is not worker.quick
    retries = [
        client_of(ledger).connection_pool.connection_kwargs["retry"].get_retries()
        for ledger in (worker.ledger, worker.quick)
    ]
    assert retries[0] > 1000 > retries[1]
    assert worker.messages.ledger is worker.ledger
    assert worker.stopping.grace == worker.settings.grace
    assert worker.keys is not None


def test_it_never_waits_longer_for_the_broker_than_a_lease_lasts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome of a step waits to be written, and nobody renews its lease then."""
    monkeypatch.setenv("ICFQUEUE_STORE_DIR", str(store.root))
    monkeypatch.setenv("ICFQUEUE_LEASE", "2")
    made = context._make_context()
    retry = client_of(made.ledger).connection_pool.connection_kwargs["retry"]
    longest = max(retry._backoff.compute(failures) for failures in range(1, 60))
    disconnect(made)
    assert longest <= made.settings.lease / 4


def test_when_it_was_asked_to_stop_is_remembered(worker: WorkerContext) -> None:
    assert context.stop_since() is None
    assert not worker.stopping.asked
    before = time.monotonic()
    context.ask_to_stop()
    since = context.stop_since()
    assert since is not None
    assert before <= since <= time.monotonic()
    assert worker.stopping.asked
    # Asking again grants no more time.
    context.ask_to_stop()
    assert context.stop_since() == since


def test_children_know_what_their_parent_was_asked(worker: WorkerContext) -> None:
    """Forked before it was asked: the time is shared."""
    fork = multiprocessing.get_context("fork")
    asked, answers = fork.Event(), fork.Queue()

    def child() -> None:
        asked.wait(20)
        answers.put(context.stop_since() is not None)

    process = fork.Process(target=child)
    process.start()
    context.ask_to_stop()
    asked.set()
    assert answers.get(timeout=20) is True
    process.join()
    assert worker.stopping.asked


def test_the_broker_is_the_one_that_is_set_or_the_embedded_one(store: Store) -> None:
    named = Settings(store_dir=store.root, broker_url=Secret("redis://host"))
    assert context.broker_of(named).url == "redis://host"
    alone = Settings(store_dir=store.root)
    assert context.broker_of(alone) == EmbeddedServer(store.root).broker


@pytest.mark.parametrize(("lease", "patience"), [("2", 2.0), ("60", context.LOST)])
def test_lost_messages_are_suspected_no_later_than_lost_workers(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch, lease: str, patience: float
) -> None:
    monkeypatch.setenv("ICFQUEUE_LEASE", lease)
    worker.settings = context.settings.load()
    made = context.make_supervisor(worker)
    assert made.patience == patience
    # A look that fails is made again: it does not wait.
    assert made.ledger is worker.quick
    assert made.queues.depth("fetch") == 0
    made.queues._client.close()
