"""The catalog for all visits of a study that are ready, by the holder of its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from msgspec import structs
from support.in_process_queue import InProcessQueue
from support.metadata import write_metadata
from support.waiting import pass_time

from icfqueue.catalog import study
from icfqueue.core.errors import BadId, LeaseLost, Unreachable, UsageError
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline import catalog_batch, catalog_schedule
from icfqueue.pipeline.catalog_batch import lock_of, rebuild_catalog, update_catalog
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

PROJECT = "study_1"
V = Visit(PROJECT, "v1")
VISITS = [Visit(PROJECT, name) for name in ("a", "b", "c")]


@dataclass
class Pages:
    """Writes no page; remembers the batches, and what else is to happen during one."""

    queue: InProcessQueue
    batches: list[list[str]] = field(default_factory=list)
    stops: bool = False
    lost: bool = False

    def __call__(self, jobs: Sequence[Job]) -> Results:
        self.batches.append([job.visit.id for job in jobs])
        if self.stops:
            self.queue.worker.stopping.since = lambda: 0.0
            self.queue.worker.stopping.grace = 1e9
        if self.lost:
            pass_time(self.queue.ledger.client, 1e6)
            assert self.queue.ledger.locks.take(lock_of(PROJECT), "other", 60.0)
            jobs[0].guard.before_publish("page")
        return {job.visit: Outcome(worked=True) for job in jobs}


@pytest.fixture
def pages(in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Three visits are ready for the catalog."""
    in_process_queue.enqueue(VISITS)
    for visit in VISITS:
        in_process_queue.advance(visit, "update_catalog")
    made = Pages(in_process_queue)
    monkeypatch.setattr(catalog_batch, "run_batch", made)
    return made


def steps(queue: InProcessQueue) -> list[str]:
    return [queue.record(visit).step for visit in VISITS]


def test_all_that_are_ready_are_written_in_one_go(pages: Pages) -> None:
    assert update_catalog(pages.queue.worker, PROJECT) == "3 visits"
    assert pages.batches == [["a", "b", "c"]]
    assert steps(pages.queue) == ["cleanup"] * 3
    assert pages.queue.ledger.flushes_due() == []
    # The lock is free again.
    assert pages.queue.ledger.locks.take(lock_of(PROJECT), "next", 1.0)


def test_no_batch_is_larger_than_the_limit(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_schedule, "LARGEST_BATCH", 2)
    assert update_catalog(pages.queue.worker, PROJECT) == "3 visits"
    assert pages.batches == [["a", "b"], ["c"]]


def test_while_somebody_holds_the_lock_nothing_is_claimed(pages: Pages) -> None:
    assert pages.queue.ledger.locks.take(lock_of(PROJECT), "other", 60.0)
    assert update_catalog(pages.queue.worker, PROJECT) == "left to the holder"
    assert pages.batches == []
    assert [pages.queue.record(visit).state for visit in VISITS] == [State.QUEUED] * 3


def test_a_visit_that_somebody_claimed_is_left_to_him(pages: Pages) -> None:
    pages.queue.hold(VISITS[1])
    assert update_catalog(pages.queue.worker, PROJECT) == "2 visits"
    assert pages.batches == [["a", "c"]]


def test_a_worker_that_is_to_stop_writes_no_further_batch(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_schedule, "LARGEST_BATCH", 1)
    pages.stops = True
    assert update_catalog(pages.queue.worker, PROJECT) == "1 visits"
    assert steps(pages.queue) == ["cleanup", "update_catalog", "update_catalog"]
    # Those that are left are written when the study is due again.
    pass_time(pages.queue.ledger.client, 3600.0)
    assert pages.queue.ledger.flushes_due() == [PROJECT]


def test_a_writer_that_lost_the_lock_publishes_nothing_and_gives_its_visits_back(
    pages: Pages,
) -> None:
    pages.lost = True
    update_catalog(pages.queue.worker, PROJECT)
    assert len(pages.batches) == 1
    assert steps(pages.queue) == ["update_catalog"] * 3
    assert [pages.queue.record(v).steps[4].attempts for v in VISITS] == [0] * 3
    # The lock is still the other's.
    assert not pages.queue.ledger.locks.take(lock_of(PROJECT), "next", 1.0)


def test_studies_have_locks_of_their_own() -> None:
    assert lock_of("study_1") != lock_of("study_2")


# A catalog made anew


@pytest.fixture
def described(store: Store) -> Store:
    """A visit that has metadata."""
    store.project_dir("study_1").mkdir()
    write_metadata(store, V)
    return store


def test_the_pages_are_made_and_the_lock_is_given_back(
    settings: Settings, described: Store, ledger: RedisLedger
) -> None:
    found = rebuild_catalog(settings, described, ledger, "study_1")
    assert found == {V: Outcome(worked=True)}
    assert study.has_page(described, V, settings.store_url)
    assert ledger.locks.take(lock_of("study_1"), "worker", 1.0)


def test_while_a_worker_writes_it_is_waited_for_and_then_given_up(
    settings: Settings,
    described: Store,
    ledger: RedisLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    holding = ledger.locks.holding

    def impatient(name: str, seconds: float, wait: float = 0.0) -> object:
        waits.append(wait)
        return holding(name, seconds)

    monkeypatch.setattr(ledger.locks, "holding", impatient)
    assert ledger.locks.take(lock_of("study_1"), "worker", 60.0)
    with pytest.raises(Unreachable, match="being written by a worker"):
        rebuild_catalog(settings, described, ledger, "study_1")
    # A worker that vanished has lost its lock by then.
    assert waits == [2 * settings.lease]
    assert not described.catalog_dir("study_1").exists()


def test_it_is_written_only_while_the_lock_is_held(
    settings: Settings,
    described: Store,
    ledger: RedisLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_the_lock(*arguments: object) -> Results:
        guard = arguments[-1]
        assert isinstance(guard, Guard)
        guard.before_publish("catalog")
        ledger.client.flushall()
        guard.before_publish("catalog")
        pytest.fail("it was published")

    monkeypatch.setattr(catalog_batch.study, "rebuild", lose_the_lock)
    with pytest.raises(LeaseLost):
        rebuild_catalog(structs.replace(settings, lease=60.0), described, ledger, "study_1")


def test_an_unknown_project_and_a_bad_name_are_wrong_usage(
    settings: Settings, described: Store, ledger: RedisLedger
) -> None:
    with pytest.raises(UsageError, match="is not there"):
        rebuild_catalog(settings, described, ledger, "study_2")
    with pytest.raises(BadId):
        rebuild_catalog(settings, described, ledger, "../study_1")
    assert ledger.locks.take(lock_of("study_2"), "worker", 1.0)
