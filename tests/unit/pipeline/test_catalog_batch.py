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
from icfqueue.core.errors import (
    BadId,
    BadTarball,
    DiskTrouble,
    LeaseLost,
    ToolFailed,
    Unreachable,
    UsageError,
)
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import ACTIVE, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline import catalog_batch, catalog_schedule
from icfqueue.pipeline.catalog_batch import lock_of, rebuild_catalog, update_catalog
from icfqueue.pipeline.catalog_schedule import send_flush
from icfqueue.steps import registry
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
            jobs[0].guard.before_change("page")
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
    assert update_catalog(pages.queue.worker, PROJECT).word == "3 visits"
    assert pages.batches == [["a", "b", "c"]]
    assert steps(pages.queue) == ["cleanup"] * 3
    assert pages.queue.ledger.flushes_due() == []
    # The lock is free again.
    assert pages.queue.ledger.locks.take(lock_of(PROJECT), "next", 1.0)


def test_no_batch_is_larger_than_the_limit(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_schedule, "LARGEST_BATCH", 2)
    assert update_catalog(pages.queue.worker, PROJECT).word == "3 visits"
    assert pages.batches == [["a", "b"], ["c"]]


def test_while_somebody_holds_the_lock_nothing_is_claimed(pages: Pages) -> None:
    assert pages.queue.ledger.locks.take(lock_of(PROJECT), "other", 60.0)
    assert update_catalog(pages.queue.worker, PROJECT).word == "left to the holder"
    assert pages.batches == []
    assert [pages.queue.record(visit).state for visit in VISITS] == [State.QUEUED] * 3


def test_a_visit_that_somebody_claimed_is_left_to_him(pages: Pages) -> None:
    pages.queue.hold(VISITS[1])
    assert update_catalog(pages.queue.worker, PROJECT).word == "2 visits"
    assert pages.batches == [["a", "c"]]


def test_a_worker_that_is_to_stop_writes_no_further_batch(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_schedule, "LARGEST_BATCH", 1)
    pages.stops = True
    assert update_catalog(pages.queue.worker, PROJECT).word == "1 visits"
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


# A writing that fails as a whole


@dataclass
class Trouble:
    """Writes no page; a batch with one of `bad` fails as a whole, or all do for a while."""

    bad: set[str] = field(default_factory=set)
    error: Exception = field(default_factory=lambda: BadTarball("its page"))
    failing: int = 0
    batches: list[list[str]] = field(default_factory=list)

    def __call__(self, jobs: Sequence[Job]) -> Results:
        names = [job.visit.id for job in jobs]
        self.batches.append(names)
        self.failing -= 1
        if self.failing >= 0 or self.bad & set(names):
            raise self.error
        return {job.visit: Outcome(worked=True) for job in jobs}


MANY = [Visit(PROJECT, f"v{number:02d}") for number in range(20)]


@pytest.fixture
def queue(in_process_queue: InProcessQueue) -> InProcessQueue:
    """Twenty visits are ready for the catalog."""
    in_process_queue.store.project_dir(PROJECT).mkdir(exist_ok=True)
    in_process_queue.enqueue(MANY)
    for visit in MANY:
        in_process_queue.advance(visit, "update_catalog")
    while in_process_queue.take():
        pass
    return in_process_queue


def drain(queue: InProcessQueue) -> None:
    """Let time pass until nothing is left to do for the catalog."""
    for _ in range(200):
        if not queue.ledger.visits(PROJECT, ACTIVE):
            return
        pass_time(queue.ledger.client, 60.0)
        queue.supervisor.look()
        while message := queue.take():
            queue.handle(message)
    raise AssertionError(queue.ledger.counts(PROJECT))


@pytest.mark.parametrize(
    "error",
    [
        BadTarball("its page"),
        ValueError("a fault of ours"),
        ToolFailed("git ended"),
        DiskTrouble("I/O error", full=False),
    ],
    ids=repr,
)
def test_one_bad_visit_that_fails_its_batch_fails_alone(
    queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trouble = Trouble({"v07", "v13"}, error)
    monkeypatch.setattr(catalog_batch, "run_batch", trouble)
    monkeypatch.setattr(registry, "run", lambda *_: Outcome(worked=True))
    drain(queue)
    states = {visit.id: queue.record(visit).state for visit in MANY}
    assert {name for name, state in states.items() if state == State.FAILED} == trouble.bad
    assert set(states.values()) == {State.DONE, State.FAILED}
    charged = {v.id: queue.record(v).steps[4].faults for v in MANY}
    assert {name for name, faults in charged.items() if faults} == trouble.bad
    # By halves, not one by one from the start.
    assert [len(batch) for batch in trouble.batches[:3]] == [20, 10, 5]
    assert len(trouble.batches) < 80


def test_trouble_of_all_charges_none_and_is_waited_for(
    queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(error=DiskTrouble("I/O error", full=False), failing=3)
    monkeypatch.setattr(catalog_batch, "run_batch", trouble)
    update_catalog(queue.worker, PROJECT)
    found = queue.record(MANY[0])
    assert (found.state, found.steps[4].faults, found.attempts) == (State.WAITING, 0, 1)
    assert found.error
    assert found.error["message"] == "I/O error"
    monkeypatch.setattr(registry, "run", lambda *_: Outcome(worked=True))
    drain(queue)
    assert {queue.record(visit).state for visit in MANY} == {State.DONE}
    assert sum(queue.record(visit).steps[4].faults for visit in MANY) == 0


def test_a_full_disk_is_told_to_all_workers_as_ever(
    queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(error=DiskTrouble("no space"), failing=1)
    monkeypatch.setattr(catalog_batch, "run_batch", trouble)
    update_catalog(queue.worker, PROJECT)
    assert queue.ledger.notes.get("rest:disk")
    assert {queue.record(visit).steps[4].faults for visit in MANY} == {0}
    assert {queue.record(visit).state for visit in MANY} == {State.WAITING}


def test_what_cannot_be_read_does_not_keep_the_others_from_their_pages(
    queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble()
    monkeypatch.setattr(catalog_batch, "run_batch", trouble)
    queue.ledger.client.hset("icfqueue:visit:study_1/v00", "r", "no JSON")
    assert send_flush(queue.ledger, queue.messages, PROJECT)
    assert update_catalog(queue.worker, PROJECT).word == "19 visits"


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
    def lose_the_lock(*arguments: object, **_: object) -> Results:
        guard = arguments[-1]
        assert isinstance(guard, Guard)
        guard.before_change("catalog")
        ledger.client.flushall()
        guard.before_change("catalog")
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
