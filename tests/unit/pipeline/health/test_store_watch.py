"""A worker that does not see its store takes nothing; a second store is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.in_process_queue import InProcessQueue
from support.reading import counted_opens

from icfqueue.core.errors import OtherStore
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline.health import store_watch
from icfqueue.pipeline.health.store_watch import StoreWatch
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.store import identity
from icfqueue.store.directory import Store


@pytest.fixture
def watch(store: Store, ledger: RedisLedger) -> StoreWatch:
    made = StoreWatch(store, ledger)
    made.check(make=True)
    return made


def unmount(store: Store) -> Path:
    """Leave an empty folder in the place of the store, as without a mount."""
    away = store.root.with_name("away")
    store.root.rename(away)
    store.root.mkdir()
    return away


def mount(store: Store, away: Path) -> None:
    for path in sorted(store.root.rglob("*"), reverse=True):
        path.rmdir()
    store.root.rmdir()
    away.rename(store.root)


@pytest.mark.usefixtures("watch")
def test_the_first_command_gives_store_and_broker_one_id(
    store: Store, ledger: RedisLedger
) -> None:
    assert ledger.store_id(None) == identity.read(store)
    StoreWatch(Store(store.root), ledger).check()


def test_a_store_that_is_seen_costs_one_look_and_no_question(
    watch: StoreWatch, ledger: RedisLedger
) -> None:
    before = ledger.client.info("commandstats")["cmdstat_get"]["calls"]
    with counted_opens() as opens:
        watch.check()
    assert opens[identity.NAME] == 0
    assert ledger.client.info("commandstats")["cmdstat_get"]["calls"] == before


def test_an_empty_mount_point_is_not_the_store_until_it_is_mounted_again(
    watch: StoreWatch, store: Store
) -> None:
    away = unmount(store)
    assert watch.lost()
    with pytest.raises(OtherStore, match="Is it mounted") as caught:
        watch.check()
    assert "store-id" in caught.value.hint
    assert not list(store.root.iterdir()), "nothing is made there"
    mount(store, away)
    watch.check()
    assert watch.lost() is None


def test_without_any_id_an_empty_folder_is_none(store: Store, ledger: RedisLedger) -> None:
    with pytest.raises(OtherStore, match="is empty"):
        StoreWatch(store, ledger).check()
    # From before there were ids: it is the only one that there can be.
    store.project_dir("study_1").mkdir()
    StoreWatch(store, ledger).check()
    assert identity.read(store)


def test_a_second_store_is_refused_with_both_ids_and_a_remedy(
    watch: StoreWatch, store: Store, ledger: RedisLedger, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    other.root.mkdir()
    for made in (False, True):
        if made:
            identity.make(other)
        with pytest.raises(OtherStore) as caught:
            StoreWatch(other, ledger).check(make=True)
        assert str(identity.read(store)) in caught.value.hint
    with pytest.raises(OtherStore, match="this broker works for the store"):
        StoreWatch(other, ledger).check_asking()
    del watch


def test_who_only_asks_need_not_see_the_store(
    watch: StoreWatch, ledger: RedisLedger, tmp_path: Path
) -> None:
    StoreWatch(Store(tmp_path), ledger).check_asking()
    del watch


def test_a_store_that_was_moved_is_the_same(
    watch: StoreWatch, store: Store, ledger: RedisLedger
) -> None:
    moved = store.root.rename(store.root.with_name("moved"))
    StoreWatch(Store(moved), ledger).check()
    del watch


def test_a_broker_that_lost_its_data_learns_the_id_again(
    watch: StoreWatch, store: Store, ledger: RedisLedger
) -> None:
    ledger.client.flushall()
    StoreWatch(store, ledger).check()
    assert ledger.store_id(None) == identity.read(store)
    del watch


def test_who_may_only_read_gives_no_id(
    store: Store, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Store) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(identity, "make", refuse)
    StoreWatch(store, ledger).check(make=True)
    assert ledger.store_id(None) is None


def test_waiting_ends_when_the_store_comes_or_the_worker_stops(
    watch: StoreWatch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_watch, "LOOK", 0.01)
    asked: list[float] = []
    stopping = Stopping(lambda: asked[0] if asked else None)
    away = unmount(store)
    answers: list[bool] = []
    for end in (lambda: mount(store, away), lambda: asked.append(0.0)):
        thread = threading.Thread(target=lambda: answers.append(watch.wait(stopping)))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        end()
        thread.join(20)
        if not asked:
            unmount(store)
    assert answers == [True, False]


def test_a_claim_for_another_store_is_refused_by_the_broker_itself(
    in_process_queue: InProcessQueue,
) -> None:
    """As when the broker was given to another store while the worker was running."""
    queue = in_process_queue
    visits = queue.build()
    queue.enqueue(visits)
    queue.worker.watch.check(make=True)
    queue.ledger.client.set("icfqueue:store", "0" * 32)
    message = queue.take()
    assert message
    assert queue.handle(message) == "other store"
    queue.ledger.bind_store("")
    assert queue.record(visits[0]).state == State.QUEUED


def test_what_fails_while_the_store_goes_away_does_not_count(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    visits = queue.build()
    queue.enqueue(visits)
    queue.worker.watch.check(make=True)
    away: list[Path] = []

    def vanish(*_: object) -> None:
        away.append(unmount(queue.store))

    monkeypatch.setattr("icfqueue.steps.fetch.tarball_here", vanish)
    message = queue.take()
    assert message
    queue.handle(message)
    found = queue.record(visits[0])
    assert found.state == State.WAITING
    assert (found.steps[0].faults, found.steps[0].attempts) == (0, 0)
    assert found.error
    assert "Is it mounted" in found.error["message"]
    mount(queue.store, away[0])


def test_an_id_at_the_broker_that_is_none_is_taken_for_absent(
    store: Store, ledger: RedisLedger, watch: StoreWatch
) -> None:
    mine = identity.read(store)
    for text in ("$(id)", "", "x" * 32):
        ledger.client.set("icfqueue:store", text)
        watch.check_asking()
        StoreWatch(store, ledger).check()
        assert ledger.store_id(None) == mine
