"""The pages of all visits that are ready are written together, by one worker at a time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support.in_process_queue import URL, InProcessQueue
from support.pipeline import (
    CATALOG_MESSAGE,
    CatalogWriter,
    enqueue_before_catalog,
    visits_before_catalog,
)
from support.waiting import pass_time

from icfqueue.catalog import study
from icfqueue.core.errors import AccessDenied
from icfqueue.core.options import Results
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.locks import RedisLocks
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline import supervisor
from icfqueue.pipeline.catalog_batch import lock_of


def states(queue: InProcessQueue, visits: list[Visit]) -> set[State]:
    return {queue.record(visit).state for visit in visits}


def test_forty_visits_that_are_ready_are_written_in_one_go(
    in_process_queue: InProcessQueue, catalog_writer: CatalogWriter
) -> None:
    queue = in_process_queue
    visits = visits_before_catalog(queue, 40)
    queue.drain()
    assert catalog_writer.batches == [40]
    assert states(queue, visits) == {State.DONE}


class CountedWriter:
    """The real writer of catalogs, and how many visits it got each time."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._add_visits = study.add_visits

    def add_visits(
        self, store: Any, project: str, visits: list[Visit], *more: Any, **named: Any
    ) -> Results:
        self.batches.append(len(visits))
        return self._add_visits(store, project, visits, *more, **named)


def test_real_visits_that_come_one_by_one_are_gathered(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    visits = queue.build(6)
    queue.worker = queue.another(catalog_gather=600.0)
    queue.ledger.flush_after = 600.0
    writer = CountedWriter()
    monkeypatch.setattr(study, "add_visits", writer.add_visits)
    queue.enqueue(visits)
    queue.drain()
    # The first one has the catalog made; the last one of the project has the others
    # written at once, not after ten minutes.
    assert writer.batches == [1, 5]
    assert all(study.has_page(queue.store, visit, URL) for visit in visits)


def test_one_bad_visit_of_a_batch_fails_alone(
    in_process_queue: InProcessQueue, catalog_writer: CatalogWriter
) -> None:
    queue = in_process_queue
    visits = visits_before_catalog(queue, 5)
    catalog_writer.errors["v002"] = AccessDenied("no")
    queue.drain()
    found = [queue.record(visit).state for visit in visits]
    assert found == [State.DONE] * 2 + [State.FAILED] + [State.DONE] * 2


def test_visits_without_a_catalog_pass_the_step(
    in_process_queue: InProcessQueue, catalog_writer: CatalogWriter
) -> None:
    queue = in_process_queue
    visits = queue.build(1)
    queue.enqueue(visits, catalog=False)
    queue.drain()
    assert states(queue, visits) == {State.DONE}
    assert catalog_writer.batches == []


def test_while_somebody_writes_the_others_leave_it_to_the_holder(
    in_process_queue: InProcessQueue, catalog_writer: CatalogWriter
) -> None:
    """The holder sees what became ready meanwhile: nobody need ask again."""
    queue = in_process_queue
    visits = visits_before_catalog(queue, 3)
    catalog_writer.go_on.clear()
    answers: list[str] = []
    holder = threading.Thread(target=lambda: answers.append(queue.handle(CATALOG_MESSAGE)))
    holder.start()
    assert catalog_writer.begun.wait(60)
    late = [Visit("study_1", f"late{number}") for number in range(2)]
    enqueue_before_catalog(queue, late)
    answers.append(queue.handle(CATALOG_MESSAGE))
    catalog_writer.go_on.set()
    holder.join()
    assert answers == ["left to the holder", "5 visits"]
    assert catalog_writer.batches == [3, 2]
    assert {queue.record(visit).step for visit in [*visits, *late]} == {"cleanup"}


def test_a_writer_that_vanished_is_followed_by_another_within_its_lease(
    in_process_queue: InProcessQueue, catalog_writer: CatalogWriter
) -> None:
    """It held the lock and the leases of the batch, and had put the next flush off."""
    queue = in_process_queue
    visits = visits_before_catalog(queue, 4)
    assert catalog_writer.batches == []
    lease = 60.0
    queue.ledger.delay_flush("study_1", 600.0)
    assert queue.ledger.locks.take(lock_of("study_1"), "dead", lease)
    for visit in visits[:3]:
        queue.ledger.update(
            visit, lambda r: record.claimed(r, "x", "dead:1", time.time()), lease=lease
        )
    pass_time(queue.ledger.client, lease + 1)
    queue.drain()
    assert states(queue, visits) == {State.DONE}
    # Nobody knows which of them took it down, if any did.
    assert queue.record(visits[0]).steps[4].crashes == 0


def die(*_: object) -> None:
    """Stands for a method during which the worker's process ends."""
    raise SystemExit


def test_a_writer_that_vanished_before_it_claimed_a_visit_is_followed_too(
    in_process_queue: InProcessQueue,
    catalog_writer: CatalogWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = in_process_queue
    visits = visits_before_catalog(queue, 2)
    with monkeypatch.context() as patch:
        patch.setattr(RedisLedger, "ready", die)
        # Who died gives no lock back.
        patch.setattr(RedisLocks, "release", lambda *_: None)
        with pytest.raises(SystemExit):
            queue.handle(CATALOG_MESSAGE)
    assert catalog_writer.batches == []
    pass_time(queue.ledger.client, queue.settings.lease + 1)
    queue.drain()
    assert states(queue, visits) == {State.DONE}
    assert catalog_writer.batches == [2]


def test_a_writer_that_lost_the_lock_gives_its_visits_back(
    in_process_queue: InProcessQueue,
    catalog_writer: CatalogWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And does not claim them again and again while the other one writes."""
    queue = in_process_queue
    visits = visits_before_catalog(queue, 3)
    lock = "icfqueue:lock:catalog:study_1"
    monkeypatch.setattr(supervisor, "FLUSH_AGAIN", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(
            catalog_writer,
            "first",
            lambda: queue.ledger.client.set(lock, "thief", px=300),
        )
        queue.handle(CATALOG_MESSAGE)
    assert catalog_writer.batches == []
    after = queue.record(visits[0])
    assert (after.state, after.step) == (State.QUEUED, UPDATE_CATALOG.name)
    assert after.error is None
    assert after.steps[4].attempts == 0
    queue.drain()
    assert states(queue, visits) == {State.DONE}
