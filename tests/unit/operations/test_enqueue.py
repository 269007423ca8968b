"""What is enqueued, and why; what two producers do to each other; cancel and retry."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.in_process_queue import URL, InProcessQueue
from support.valkey import Valkey

from icfqueue.broker.celery_app import make_app
from icfqueue.catalog import study
from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.operations.enqueue import Deed, Plan, Producer
from icfqueue.pipeline.messages import Messages

OPTIONS = Options(URL)


@pytest.fixture
def done(in_process_queue: InProcessQueue) -> Visit:
    """A real visit that went through every step."""
    (visit,) = in_process_queue.build(1)
    in_process_queue.enqueue([visit])
    in_process_queue.drain()
    assert in_process_queue.record(visit).state == State.DONE, in_process_queue.record(
        visit
    ).error
    return visit


def plan(in_process_queue: InProcessQueue, visit: Visit, **options: Any) -> Plan:
    (found,) = in_process_queue.producer.plan(
        [visit], Options(**{"store_url": URL, **options})
    )
    return found


def fail(in_process_queue: InProcessQueue, visit: Visit, wait: float | None = None) -> None:
    """Let the visit fail at the step where it stands."""
    in_process_queue.ledger.update(
        visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0
    )
    error = BadTarball("x") if wait is None else NetworkTrouble("x")
    decision = Fail() if wait is None else RetryIn(wait)
    error.at(
        project=visit.project, visit=visit.id, step=in_process_queue.record(visit).step
    )
    in_process_queue.ledger.update(visit, lambda r: record.failed(r, error, decision, 2.0))


def test_a_new_visit_is_enqueued_and_a_dry_run_changes_nothing(
    in_process_queue: InProcessQueue,
) -> None:
    (visit,) = in_process_queue.build(1)
    assert plan(in_process_queue, visit).why == "new"
    assert (
        plan(in_process_queue, Visit("study_1", "elsewhere")).why == "new, to be downloaded"
    )
    streamed = plan(in_process_queue, Visit("study_1", "elsewhere"), stream=True)
    assert streamed.why == "new, to be streamed"
    assert in_process_queue.ledger.projects() == []
    assert in_process_queue.take() is None


def test_an_active_visit_is_left_alone_in_every_active_state(
    in_process_queue: InProcessQueue,
) -> None:
    visit = Visit("study_1", "v")
    in_process_queue.enqueue([visit])
    assert plan(in_process_queue, visit).deed == Deed.LEAVE
    in_process_queue.ledger.update(
        visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0
    )
    assert plan(in_process_queue, visit).why == "under way: running at fetch"
    in_process_queue.ledger.update(
        visit, lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(60.0), 2.0)
    )
    assert plan(in_process_queue, visit).why == "under way: waiting at fetch"
    before = in_process_queue.record(visit)
    in_process_queue.enqueue([visit])
    assert in_process_queue.record(visit) == before
    assert in_process_queue.queues.depth("fetch") == 1


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_visit_that_stopped_is_enqueued_from_the_first_step(
    in_process_queue: InProcessQueue, how: str
) -> None:
    visit = Visit("study_1", "v")
    in_process_queue.enqueue([visit])
    if how == "failed":
        fail(in_process_queue, visit)
    else:
        in_process_queue.producer.cancel([visit])
    found = plan(in_process_queue, visit)
    assert (found.deed, found.why) == (Deed.ENQUEUE, f"{how} at fetch before")
    in_process_queue.enqueue([visit])
    assert in_process_queue.record(visit).state == State.QUEUED
    assert in_process_queue.record(visit).error is None


def test_force_takes_a_running_visit_away_from_its_worker(
    in_process_queue: InProcessQueue,
) -> None:
    visit = Visit("study_1", "v")
    in_process_queue.enqueue([visit])
    in_process_queue.ledger.update(
        visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0
    )
    assert plan(in_process_queue, visit, force=True).deed == Deed.ENQUEUE
    in_process_queue.enqueue([visit], force=True)
    found = in_process_queue.record(visit)
    assert (found.state, found.generation, found.options.force) == (State.QUEUED, 2, True)
    assert not in_process_queue.ledger.renew(visit, "t", 30.0)


def test_force_holds_although_the_visit_changed_since_it_was_planned(
    in_process_queue: InProcessQueue,
) -> None:
    visits = [Visit("study_1", name) for name in ("changed", "new", "same")]
    in_process_queue.enqueue([visits[0], visits[2]])
    options = Options(URL, force=True)
    plans = in_process_queue.producer.plan(visits, options)
    in_process_queue.ledger.update(
        visits[0], lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0
    )
    in_process_queue.enqueue([visits[1]])
    done = in_process_queue.producer.enqueue(plans, options)
    assert (done.enqueued, done.left) == (3, 0)
    for visit in visits:
        found = in_process_queue.record(visit)
        assert (found.state, found.generation) == (State.QUEUED, 2)
        assert found.options.force
    assert not in_process_queue.ledger.renew(visits[0], "t", 30.0)


def test_a_complete_visit_is_up_to_date_until_something_is_missing(
    in_process_queue: InProcessQueue, done: Visit
) -> None:
    """One real visit, and everything that may be wrong with it."""
    assert plan(in_process_queue, done).deed == Deed.UP_TO_DATE
    assert (
        in_process_queue.producer.enqueue(
            [plan(in_process_queue, done)], OPTIONS
        ).up_to_date
        == 1
    )

    @contextmanager
    def without(name: str) -> Iterator[None]:
        path = in_process_queue.store.path(done, name)
        path.rename(path.with_suffix(".aside"))
        yield
        path.with_suffix(".aside").rename(path)

    for name in (done.metadata_tarball, done.metadata_dicoms):
        with without(name):
            assert plan(in_process_queue, done).why == f"{name} is missing"
            assert (
                plan(in_process_queue, done, remove_metadata=True).why
                != f"{name} is missing"
            )
    for name in (done.refs, done.repo_export):
        with without(name):
            assert plan(in_process_queue, done).why == "the dataset is missing"
    assert plan(in_process_queue, done, store_url="https://other").why.startswith(
        "its dataset names another"
    )
    assert (
        plan(in_process_queue, done, remove_tarball=True).why
        == "the tarball is to be removed"
    )
    assert (
        plan(in_process_queue, done, remove_metadata=True).why
        == "the metadata are to be removed"
    )
    assert plan(in_process_queue, done, force=True).why == "--force was given"
    with without("catalog"):
        assert not study.has_page(in_process_queue.store, done, URL)
        assert plan(in_process_queue, done).why == "its catalog page is missing"
        assert plan(in_process_queue, done, catalog=False).deed == Deed.UP_TO_DATE
    tarball = in_process_queue.store.path(done, done.tarball)
    with without(done.tarball):
        assert plan(in_process_queue, done).deed == Deed.UP_TO_DATE
    os.utime(tarball)
    assert plan(in_process_queue, done).why.startswith("the tarball was touched")
    with tarball.open("ab") as file:
        file.write(b"\0" * 512)
    assert plan(in_process_queue, done).why == "the tarball has changed"
    # That is a clear failure, unless it is meant.
    in_process_queue.enqueue([done])
    in_process_queue.drain()
    found = in_process_queue.record(done)
    assert (found.state, (found.error or {})["type"]) == (State.FAILED, "TarballChanged")
    in_process_queue.enqueue([done], force=True)
    in_process_queue.drain()
    assert in_process_queue.record(done).state == State.DONE


def test_a_dataset_of_an_older_format_is_made_anew_where_the_tarball_is_here(
    in_process_queue: InProcessQueue, done: Visit
) -> None:
    store = in_process_queue.store
    export = store.path(done, done.repo_export)
    with zipfile.ZipFile(export, "a") as opened:
        opened.comment = opened.comment.replace(b'"format": 2', b'"format": 1')
    assert plan(in_process_queue, done).why == "the dataset is of an older format"
    in_process_queue.enqueue([done])
    in_process_queue.drain()
    assert plan(in_process_queue, done).deed == Deed.UP_TO_DATE
    with zipfile.ZipFile(export, "a") as opened:
        opened.comment = opened.comment.replace(b'"format": 2', b'"format": 1')
    store.path(done, done.tarball).unlink()
    assert plan(in_process_queue, done).deed == Deed.UP_TO_DATE


def test_the_size_of_the_tarball_is_known_at_once(in_process_queue: InProcessQueue) -> None:
    (visit,) = in_process_queue.build(1)
    in_process_queue.enqueue([visit])
    size = in_process_queue.store.path(visit, visit.tarball).stat().st_size
    assert in_process_queue.ledger.totals("study_1")["tar_bytes"] == size


def test_two_producers_at_once_enqueue_each_visit_once(
    in_process_queue: InProcessQueue, valkey: Valkey
) -> None:
    visits = [Visit("study_1", f"v{number:03d}") for number in range(300)]
    plans = [in_process_queue.producer.plan(visits, OPTIONS) for _ in range(3)]
    told = []

    def enqueue(found: list[Plan]) -> None:
        producer = Producer(
            in_process_queue.settings,
            in_process_queue.store,
            in_process_queue.ledger,
            Messages(make_app(valkey.broker), in_process_queue.ledger),
        )
        told.append(producer.enqueue(found, OPTIONS))

    threads = [threading.Thread(target=enqueue, args=(found,)) for found in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found.enqueued for found in told) == 300
    assert sum(found.left for found in told) == 600
    assert in_process_queue.queues.depth("fetch") == 300
    assert len(set(in_process_queue.queues.waiting("fetch"))) == 300
    assert in_process_queue.ledger.counts("study_1")[State.QUEUED] == 300


def test_cancel_works_with_no_worker_and_its_message_says_nothing_any_more(
    in_process_queue: InProcessQueue,
) -> None:
    # Else the worker would wait for a mount.
    in_process_queue.store.project_dir("study_1").mkdir()
    visits = [Visit("study_1", name) for name in "abc"]
    in_process_queue.enqueue(visits)
    assert (
        in_process_queue.producer.cancel([*visits[:2], Visit("study_1", "none")])
        == visits[:2]
    )
    assert in_process_queue.producer.cancel(visits[:1]) == []
    in_process_queue.worker.watch.check(make=True)
    message = in_process_queue.take()
    assert message
    assert in_process_queue.handle(message) == "dropped"
    assert in_process_queue.record(visits[0]).state == State.CANCELLED
    assert in_process_queue.record(visits[2]).state == State.QUEUED


def test_retry_goes_on_from_the_step_that_failed(in_process_queue: InProcessQueue) -> None:
    visit, other = in_process_queue.build(2)
    in_process_queue.enqueue([visit, other])
    in_process_queue.drain(
        until=lambda: in_process_queue.record(visit).step == "write_json"
    )
    fail(in_process_queue, visit)
    assert in_process_queue.producer.retry([visit, other], [State.FAILED]) == [visit]
    found = in_process_queue.record(visit)
    assert (found.state, found.step, found.error) == (State.QUEUED, "write_json", None)
    assert found.steps[found.position].attempts == 1
    done = in_process_queue.drain()
    mine = [message[0] for message, _ in done if message[2] == visit.id]
    assert "fetch" not in mine
    assert in_process_queue.record(visit).state == State.DONE
    assert in_process_queue.producer.retry([visit], [State.FAILED]) == []


def test_retry_of_a_waiting_visit_does_not_wait(in_process_queue: InProcessQueue) -> None:
    visit = Visit("study_1", "v")
    in_process_queue.enqueue([visit])
    assert in_process_queue.take()
    fail(in_process_queue, visit, wait=3600.0)
    assert in_process_queue.producer.retry([visit], [State.WAITING]) == [visit]
    assert in_process_queue.take() == ("fetch", "study_1", "v", 2)
    assert in_process_queue.ledger.due() == []


def test_retry_while_it_runs_changes_nothing(in_process_queue: InProcessQueue) -> None:
    visit = Visit("study_1", "v")
    in_process_queue.enqueue([visit])
    in_process_queue.ledger.update(
        visit, lambda r: record.claimed(r, "t", "w:1", time.time()), lease=30.0
    )
    assert in_process_queue.producer.retry([visit], [State.FAILED]) == []
    assert in_process_queue.ledger.renew(visit, "t", 30.0)


def test_retry_of_a_visit_whose_page_failed_has_the_catalog_written(
    in_process_queue: InProcessQueue,
) -> None:
    (visit,) = in_process_queue.build(1)
    in_process_queue.enqueue([visit])
    in_process_queue.drain(
        until=lambda: in_process_queue.record(visit).step == "update_catalog"
    )
    while in_process_queue.take():
        pass
    fail(in_process_queue, visit)
    in_process_queue.producer.retry([visit], [State.FAILED])
    assert in_process_queue.take() == ("update_catalog", "study_1", visit.id, 2)
