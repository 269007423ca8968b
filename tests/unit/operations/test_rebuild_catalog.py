"""A catalog made anew while workers leave it alone."""

from __future__ import annotations

import pytest
from icfqueue.operations.rebuild_catalog import rebuild_catalog
from msgspec import structs
from support.metadata import write_metadata

from icfqueue.catalog import study
from icfqueue.core.errors import BadId, LeaseLost, Unreachable, UsageError
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations import rebuild_catalog as operation
from icfqueue.pipeline.catalog_batch import lock_of
from icfqueue.store.directory import Store

V = Visit("study_1", "v1")


@pytest.fixture
def store(store: Store) -> Store:
    """A visit that has metadata."""
    store.project_dir("study_1").mkdir()
    write_metadata(store, V)
    return store


def test_the_pages_are_made_and_the_lock_is_given_back(
    settings: Settings, store: Store, ledger: RedisLedger
) -> None:
    found = rebuild_catalog(settings, store, ledger, "study_1")
    assert found == {V: Outcome(worked=True)}
    assert study.has_page(store, V, settings.store_url)
    assert ledger.locks.take(lock_of("study_1"), "worker", 1.0)


def test_while_a_worker_writes_it_is_waited_for_and_then_given_up(
    settings: Settings, store: Store, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    holding = ledger.locks.holding

    def impatient(name: str, seconds: float, wait: float = 0.0) -> object:
        waits.append(wait)
        return holding(name, seconds)

    monkeypatch.setattr(ledger.locks, "holding", impatient)
    assert ledger.locks.take(lock_of("study_1"), "worker", 60.0)
    with pytest.raises(Unreachable, match="being written by a worker"):
        rebuild_catalog(settings, store, ledger, "study_1")
    # A worker that vanished has lost its lock by then.
    assert waits == [2 * settings.lease]
    assert not store.catalog_dir("study_1").exists()


def test_it_is_written_only_while_the_lock_is_held(
    settings: Settings, store: Store, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_lock(*arguments: object) -> Results:
        guard = arguments[-1]
        assert isinstance(guard, Guard)
        guard.before_publish("catalog")
        ledger.client.flushall()
        guard.before_publish("catalog")
        pytest.fail("it was published")

    monkeypatch.setattr(operation.study, "rebuild", lose_the_lock)
    with pytest.raises(LeaseLost):
        rebuild_catalog(structs.replace(settings, lease=60.0), store, ledger, "study_1")


def test_an_unknown_project_and_a_bad_name_are_wrong_usage(
    settings: Settings, store: Store, ledger: RedisLedger
) -> None:
    with pytest.raises(UsageError, match="is not there"):
        rebuild_catalog(settings, store, ledger, "study_2")
    with pytest.raises(BadId):
        rebuild_catalog(settings, store, ledger, "../study_1")
    assert ledger.locks.take(lock_of("study_2"), "worker", 1.0)
