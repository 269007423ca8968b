"""What is enqueued, and why; what two producers do to each other; cancel and retry."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.in_process_queue import URL, Line
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
def done(line: Line) -> Visit:
    """A real visit that went through every step."""
    (visit,) = line.build(1)
    line.enqueue([visit])
    line.drain()
    assert line.record(visit).state == State.DONE, line.record(visit).error
    return visit


def plan(line: Line, visit: Visit, **options: object) -> Plan:
    (found,) = line.producer.plan([visit], Options(**{"store_url": URL, **options}))  # type: ignore[arg-type]
    return found


def fail(line: Line, visit: Visit, wait: float | None = None) -> None:
    """Let the visit fail at the step where it stands."""
    line.ledger.update(visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0)
    error = BadTarball("x") if wait is None else NetworkTrouble("x")
    decision = Fail() if wait is None else RetryIn(wait)
    error.at(project=visit.project, visit=visit.id, step=line.record(visit).step)
    line.ledger.update(visit, lambda r: record.failed(r, error, decision, 2.0))


def test_a_new_visit_is_enqueued_and_a_dry_run_changes_nothing(line: Line) -> None:
    (visit,) = line.build(1)
    assert plan(line, visit).why == "new"
    assert plan(line, Visit("study_1", "elsewhere")).why == "new, to be downloaded"
    assert line.ledger.projects() == []
    assert line.take() is None


def test_an_active_visit_is_left_alone_in_every_active_state(line: Line) -> None:
    visit = Visit("study_1", "v")
    line.enqueue([visit])
    assert plan(line, visit).deed == Deed.LEAVE
    line.ledger.update(visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0)
    assert plan(line, visit).why == "running at fetch"
    line.ledger.update(
        visit, lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(60.0), 2.0)
    )
    assert plan(line, visit).why == "waiting at fetch"
    before = line.record(visit)
    line.enqueue([visit])
    assert line.record(visit) == before
    assert line.messages.depth("fetch") == 1


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_visit_that_stopped_is_enqueued_from_the_first_step(line: Line, how: str) -> None:
    visit = Visit("study_1", "v")
    line.enqueue([visit])
    if how == "failed":
        fail(line, visit)
    else:
        line.producer.cancel([visit])
    found = plan(line, visit)
    assert (found.deed, found.why) == (Deed.ENQUEUE, f"{how} at fetch before")
    line.enqueue([visit])
    assert line.record(visit).state == State.QUEUED
    assert line.record(visit).error is None


def test_force_takes_a_running_visit_away_from_its_worker(line: Line) -> None:
    visit = Visit("study_1", "v")
    line.enqueue([visit])
    line.ledger.update(visit, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0)
    assert plan(line, visit, force=True).deed == Deed.ENQUEUE
    line.enqueue([visit], force=True)
    found = line.record(visit)
    assert (found.state, found.generation, found.options.force) == (State.QUEUED, 2, True)
    assert not line.ledger.renew(visit, "t", 30.0)


def test_force_holds_although_the_visit_changed_since_it_was_planned(line: Line) -> None:
    visits = [Visit("study_1", name) for name in ("changed", "new", "same")]
    line.enqueue([visits[0], visits[2]])
    options = Options(URL, force=True)
    plans = line.producer.plan(visits, options)
    line.ledger.update(visits[0], lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0)
    line.enqueue([visits[1]])
    done = line.producer.enqueue(plans, options)
    assert (done.enqueued, done.left) == (3, 0)
    for visit in visits:
        found = line.record(visit)
        assert (found.state, found.generation) == (State.QUEUED, 2)
        assert found.options.force
    assert not line.ledger.renew(visits[0], "t", 30.0)


def test_a_complete_visit_is_up_to_date_until_something_is_missing(
    line: Line, done: Visit
) -> None:
    """One real visit, and everything that may be wrong with it."""
    assert plan(line, done).deed == Deed.UP_TO_DATE
    assert line.producer.enqueue([plan(line, done)], OPTIONS).up_to_date == 1

    @contextmanager
    def without(name: str) -> Iterator[None]:
        path = line.store.path(done, name)
        path.rename(path.with_suffix(".aside"))
        yield
        path.with_suffix(".aside").rename(path)

    for name in (done.metadata_tarball, done.metadata_dicoms):
        with without(name):
            assert plan(line, done).why == f"{name} is missing"
            assert plan(line, done, remove_metadata=True).why != f"{name} is missing"
    for name in (done.refs, done.repo_export):
        with without(name):
            assert plan(line, done).why == "the dataset is missing"
    assert plan(line, done, store_url="https://other").why.startswith("the dataset is to")
    assert plan(line, done, remove_tarball=True).why == "the tarball is to be removed"
    assert plan(line, done, remove_metadata=True).why == "the metadata are to be removed"
    assert plan(line, done, force=True).why == "--force"
    with without("catalog"):
        assert not study.has_page(line.store, done, URL)
        assert plan(line, done).why == "its catalog page is missing"
        assert plan(line, done, catalog=False).deed == Deed.UP_TO_DATE
    tarball = line.store.path(done, done.tarball)
    with without(done.tarball):
        assert plan(line, done).deed == Deed.UP_TO_DATE
    os.utime(tarball)
    assert plan(line, done).why.startswith("the tarball was touched")
    with tarball.open("ab") as file:
        file.write(b"\0" * 512)
    assert plan(line, done).why == "the tarball has changed"
    # That is a clear failure, unless it is meant.
    line.enqueue([done])
    line.drain()
    found = line.record(done)
    assert (found.state, (found.error or {})["type"]) == (State.FAILED, "TarballChanged")
    line.enqueue([done], force=True)
    line.drain()
    assert line.record(done).state == State.DONE


def test_the_size_of_the_tarball_is_known_at_once(line: Line) -> None:
    (visit,) = line.build(1)
    line.enqueue([visit])
    size = line.store.path(visit, visit.tarball).stat().st_size
    assert line.ledger.totals("study_1")["tar_bytes"] == size


def test_two_producers_at_once_enqueue_each_visit_once(line: Line, valkey: Valkey) -> None:
    visits = [Visit("study_1", f"v{number:03d}") for number in range(300)]
    plans = [line.producer.plan(visits, OPTIONS) for _ in range(3)]
    told = []

    def enqueue(found: list[Plan]) -> None:
        producer = Producer(
            line.settings,
            line.store,
            line.ledger,
            Messages(make_app(valkey.broker), line.ledger),
        )
        told.append(producer.enqueue(found, OPTIONS))

    threads = [threading.Thread(target=enqueue, args=(found,)) for found in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found.enqueued for found in told) == 300
    assert sum(found.left for found in told) == 600
    assert line.messages.depth("fetch") == 300
    assert len(set(line.messages.waiting("fetch"))) == 300
    assert line.ledger.counts("study_1")[State.QUEUED] == 300


def test_cancel_works_with_no_worker_and_its_message_says_nothing_any_more(
    line: Line,
) -> None:
    visits = [Visit("study_1", name) for name in "abc"]
    line.enqueue(visits)
    assert line.producer.cancel([*visits[:2], Visit("study_1", "none")]) == visits[:2]
    assert line.producer.cancel(visits[:1]) == []
    message = line.take()
    assert message
    assert line.handle(message) == "dropped"
    assert line.record(visits[0]).state == State.CANCELLED
    assert line.record(visits[2]).state == State.QUEUED


def test_retry_goes_on_from_the_step_that_failed(line: Line) -> None:
    visit, other = line.build(2)
    line.enqueue([visit, other])
    line.drain(until=lambda: line.record(visit).step == "write_json")
    fail(line, visit)
    assert line.producer.retry([visit, other], [State.FAILED]) == [visit]
    found = line.record(visit)
    assert (found.state, found.step, found.error) == (State.QUEUED, "write_json", None)
    assert found.steps[found.position].attempts == 1
    done = line.drain()
    mine = [message[0] for message, _ in done if message[2] == visit.id]
    assert "fetch" not in mine
    assert line.record(visit).state == State.DONE
    assert line.producer.retry([visit], [State.FAILED]) == []


def test_retry_of_a_waiting_visit_does_not_wait(line: Line) -> None:
    visit = Visit("study_1", "v")
    line.enqueue([visit])
    assert line.take()
    fail(line, visit, wait=3600.0)
    assert line.producer.retry([visit], [State.WAITING]) == [visit]
    assert line.take() == ("fetch", "study_1", "v", 2)
    assert line.ledger.due() == []


def test_retry_while_it_runs_changes_nothing(line: Line) -> None:
    visit = Visit("study_1", "v")
    line.enqueue([visit])
    line.ledger.update(
        visit, lambda r: record.claimed(r, "t", "w:1", time.time()), lease=30.0
    )
    assert line.producer.retry([visit], [State.FAILED]) == []
    assert line.ledger.renew(visit, "t", 30.0)


def test_retry_of_a_visit_whose_page_failed_has_the_catalog_written(line: Line) -> None:
    (visit,) = line.build(1)
    line.enqueue([visit])
    line.drain(until=lambda: line.record(visit).step == "update_catalog")
    while line.take():
        pass
    fail(line, visit)
    line.producer.retry([visit], [State.FAILED])
    assert line.take() == ("update_catalog", "study_1", visit.id, 2)
