"""Messages of a real broker acted on by the real steps, on small real visits."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.in_process_queue import URL, Line
from support.schema import check_status
from support.waiting import pass_time

from icfqueue.catalog import study
from icfqueue.core.errors import (
    AccessDenied,
    DiskTrouble,
    LeaseLost,
    NetworkTrouble,
    StoreBusy,
)
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome
from icfqueue.core.steps import NAMES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import State
from icfqueue.operations import status
from icfqueue.pipeline import circuit_breaker, supervisor
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.steps import export_repo, fetch, index_tar, write_json
from icfqueue.steps.job import Job


@pytest.fixture(autouse=True)
def long_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has been up for longer than a lease."""
    monkeypatch.setattr(Ledger, "uptime", lambda _: 3600.0)


@pytest.fixture
def visit(line: Line) -> Visit:
    """One real visit, enqueued."""
    (made,) = line.build(1)
    line.enqueue([made])
    return made


def go_to(line: Line, visit: Visit, step: str) -> tuple[str, str, str, int]:
    """Let the visit come as far as `step`; return the message for it."""
    line.drain(until=lambda: line.record(visit).step == step)
    message = line.take()
    while message and message[0] != step:
        message = line.take()
    return message or (step, visit.project, visit.id, line.record(visit).generation)


def outputs(line: Line, visit: Visit) -> set[str]:
    folder = line.store.project_dir(visit.project)
    return {path.name for path in folder.iterdir() if "XDLRA" in path.name}


def stray(line: Line) -> list[Path]:
    return [path for path in line.store.root.rglob("*") if path.name.startswith("tmp-")]


def error_of(line: Line, visit: Visit) -> dict[str, str]:
    found = line.record(visit).error
    assert found is not None
    return found


def test_a_project_goes_through_every_step_and_its_status_has_the_documented_form(
    line: Line,
) -> None:
    visits = line.build(3)
    line.enqueue(visits)
    done = line.drain()
    for found in visits:
        told = line.record(found)
        assert told.state == State.DONE, told.error
        assert [step.attempts for step in told.steps] == [1] * 6
        assert told.dicoms
        assert set(told.refs or {}) == {"refs/heads/master", "refs/heads/git-annex"}
        assert study.has_page(line.store, found, URL)
    shown = json.loads("".join(status.project_lines(line.ledger, "study_1")))
    check_status(shown)
    assert shown["counts"]["done"] == 3
    assert not stray(line)
    # A visit that has begun goes on before the next one begins.
    first = [message[0] for message, _ in done if message[2] == visits[0].id]
    assert first[:4] == ["fetch", "index_tar", "write_json", "export_repo"]
    assert [message[2] for message, _ in done[:4]] == [visits[0].id] * 4
    assert line.ledger.totals("study_1")["read_dicoms"] == sum(
        line.record(found).dicoms or 0 for found in visits
    )


def test_a_second_time_nothing_is_done(line: Line, visit: Visit) -> None:
    line.drain()
    before = {
        path: path.stat().st_mtime_ns
        for path in line.store.root.rglob("*")
        if path.is_file()
    }
    line.ledger.update(visit, lambda r: record.enqueued(r, r.options, 0, time.time()))
    line.messages.send(line.record(visit))
    line.drain()
    assert line.record(visit).state == State.DONE
    after = {
        path: path.stat().st_mtime_ns
        for path in line.store.root.rglob("*")
        if path.is_file()
    }
    assert after == before


def test_the_same_message_twice_is_one_step(line: Line, visit: Visit) -> None:
    message = line.take()
    assert message
    assert [line.handle(message), line.handle(message)] == ["queued", "dropped"]
    assert line.record(visit).steps[0].attempts == 1


Real = Callable[[Job], Outcome]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let something happen in the middle of the real export, before it publishes."""

    def arrange(what: Callable[[], object]) -> list[str]:
        real: Real = export_repo.run
        happened: list[str] = []

        def run(job: Job) -> Outcome:
            before = job.guard.before_publish

            def publish(name: str) -> None:
                if not happened:
                    what()
                happened.append(name)
                before(name)

            monkeypatch.setattr(job.guard, "before_publish", publish)
            return real(job)

        monkeypatch.setattr(export_repo, "run", run)
        return happened

    return arrange


def test_cancelled_while_it_runs_a_step_publishes_nothing(
    line: Line, visit: Visit, meanwhile: Callable[..., list[str]]
) -> None:
    message = go_to(line, visit, "export_repo")
    happened = meanwhile(lambda: line.producer.cancel([visit]))
    assert line.handle(message) == "withdrawn"
    assert happened
    assert line.record(visit).state == State.CANCELLED
    assert outputs(line, visit) == set()
    assert not stray(line)
    # And it can go on from there.
    line.producer.retry([visit], [State.CANCELLED])
    line.drain()
    assert line.record(visit).state == State.DONE
    assert len(outputs(line, visit)) == 2


def test_a_lease_stolen_between_claim_and_publish_lets_nothing_appear(
    line: Line, visit: Visit, meanwhile: Callable[..., list[str]]
) -> None:
    """The thief does the step; the zombie that wakes up throws its work away."""
    message = go_to(line, visit, "export_repo")

    def steal() -> None:
        assert line.ledger.update(visit, record.orphaned)
        assert line.ledger.update(
            visit, lambda r: record.claimed(r, "thief", "host:2", time.time()), lease=30.0
        )

    meanwhile(steal)
    assert line.handle(message) == "withdrawn"
    found = line.record(visit)
    assert (found.state, found.token) == (State.RUNNING, "thief")
    assert outputs(line, visit) == set()
    assert not stray(line)


def test_all_data_of_the_broker_lost_in_mid_step_publishes_nothing(
    line: Line, visit: Visit, meanwhile: Callable[..., list[str]]
) -> None:
    message = go_to(line, visit, "export_repo")
    meanwhile(line.ledger.client.flushall)
    assert line.handle(message) == "withdrawn"
    assert outputs(line, visit) == set()
    assert line.ledger.get(visit) is None


def test_a_worker_that_stops_gives_its_visit_back_and_no_attempt_counts(
    line: Line, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    line.worker.stopping = Stopping(lambda: asked[0] if asked else None, 0.0)

    def run(job: Job) -> Outcome:
        asked.append(time.monotonic())
        while True:
            job.guard.advance(bytes=1)
            time.sleep(0.01)

    monkeypatch.setattr(index_tar, "run", run)
    message = go_to(line, visit, "index_tar")
    assert line.handle(message) == "queued"
    found = line.record(visit)
    assert (found.state, found.step, found.attempts) == (State.QUEUED, "index_tar", 1)
    assert found.steps[1].attempts == 0
    # Its message is back in the queue for another worker.
    assert line.take() == message


SECRET = "DOE^JANE"


def test_an_unexpected_error_is_permanent_without_traceback_or_value(
    line: Line,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run(_: Job) -> Outcome:
        raise KeyError(SECRET)

    monkeypatch.setattr(write_json, "run", run)
    caplog.set_level(logging.DEBUG)
    line.drain()
    found = line.record(visit)
    assert found.state == State.FAILED
    error = error_of(line, visit)
    assert (error["kind"], error["step"]) == ("permanent", "write_json")
    assert "unexpected KeyError" in error["message"]
    shown = "".join(status.project_lines(line.ledger, "study_1"))
    check_status(json.loads(shown))
    assert SECRET not in shown + caplog.text
    assert "Traceback" not in shown
    line.producer.retry([visit], [State.FAILED])


def failing(error: Exception, calls: list[str]) -> Real:
    def run(job: Job) -> Outcome:
        calls.append(job.visit.id)
        raise error

    return run


def test_transient_failures_are_tried_as_often_as_is_set(
    line: Line, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    line.worker = line.another(
        retry_base=0.001, retry_cap=0.01, max_attempts=3, store_faults=100
    )
    monkeypatch.setattr(fetch, "run", failing(NetworkTrouble("reset"), calls))
    line.drain()
    found = line.record(visit)
    assert (found.state, found.attempts, len(calls)) == (State.FAILED, 3, 3)
    assert error_of(line, visit)["kind"] == "transient"


def test_a_full_disk_lets_every_visit_wait_and_none_fail(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    visits = line.build(3)
    line.enqueue(visits)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", failing(DiskTrouble("no space", hint="room"), calls))
        line.worker = line.another(disk_pause=600.0)
        line.drain(until=lambda: line.ledger.counts("study_1")[State.WAITING] == 3)
        assert len(calls) == 1
        for found in visits:
            assert line.record(found).attempts == 0
            assert error_of(line, found)["type"] == "DiskTrouble"
    pass_time(line.ledger.client, 601.0)
    line.drain()
    assert line.ledger.counts("study_1")[State.DONE] == 3


def test_refused_access_fails_the_other_visits_without_a_request_until_retry(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    visits = [Visit("study_1", f"v{number}") for number in range(5)]
    line.enqueue(visits)
    error = AccessDenied("https://x answers 401: no access", hint="give a credential")
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", failing(error, calls))
        line.drain()
        assert len(calls) == 1
        said = {json.dumps(error_of(line, found)) for found in visits}
        assert len(said) == 1
        assert error_of(line, visits[0])["type"] == "AccessDenied"
        assert line.ledger.counts("study_1")[State.FAILED] == 5
        line.producer.retry(visits, [State.FAILED])
        line.drain()
        assert len(calls) == 2


def test_a_hold_that_was_lifted_is_not_put_back_by_a_visit_that_met_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One visit has just read the note when 'retry' takes it away."""
    visit = Visit("study_1", "at_the_store")
    line.enqueue([visit])
    words = json.dumps({"message": "401", "hint": "h"})
    line.ledger.notes.put("hold:study_1", words)
    check = circuit_breaker.check

    def check_then_lift(*args: Any, **more: Any) -> None:
        try:
            check(*args, **more)
        finally:
            circuit_breaker.lift(line.ledger, "study_1")

    monkeypatch.setattr(circuit_breaker, "check", check_then_lift)
    message = line.take()
    assert message
    assert line.handle(message) == "failed"
    assert error_of(line, visit)["message"] == "401"
    assert line.ledger.notes.get("hold:study_1") is None


def test_a_busy_store_is_asked_again_when_it_said_so(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    visits = line.build(3)
    tarballs = [line.store.path(found, found.tarball) for found in visits]
    for path in tarballs:
        path.rename(path.with_suffix(".away"))
    line.enqueue(visits)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", failing(StoreBusy("503", retry_after=600.0), calls))
        line.drain(until=lambda: line.ledger.counts("study_1")[State.WAITING] == 3)
    assert len(calls) == 1
    for path in tarballs:
        path.with_suffix(".away").rename(path)
    assert {line.record(found).attempts for found in visits} == {0}
    pass_time(line.ledger.client, 500.0)
    line.supervisor.look()
    assert line.take() is None
    pass_time(line.ledger.client, 101.0)
    line.drain()
    assert line.ledger.counts("study_1")[State.DONE] == 3


def test_a_store_that_fails_over_and_over_is_left_alone(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    visits = [Visit("study_1", f"v{number:02d}") for number in range(20)]
    line.enqueue(visits)
    line.worker = line.another(store_faults=4, retry_base=600.0)
    monkeypatch.setattr(fetch, "run", failing(NetworkTrouble("reset"), calls))
    line.drain(until=lambda: line.ledger.counts("study_1")[State.WAITING] == 20)
    assert len(calls) == 4
    assert sum(line.record(found).steps[0].faults for found in visits) == 4


def soonest(line: Line) -> float:
    """Return for how many seconds the visit waits that is the next to go on."""
    seconds, _ = line.ledger.client.time()
    [(_, due)] = line.ledger.client.zrange(key("due"), 0, 0, withscores=True)
    return due / 1000 - seconds


def test_an_outage_of_the_store_fails_no_visit_however_long_it_lasts(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each rest one visit asks; those that ask at once otherwise fail by and by."""
    calls: list[str] = []
    visits = [Visit("study_1", f"v{number:02d}") for number in range(20)]
    line.enqueue(visits)
    line.worker = line.another(
        store_faults=4, store_pause=600.0, retry_base=0.01, retry_cap=0.05, max_attempts=2
    )

    def all_wait_for_its_end() -> bool:
        waiting = line.ledger.counts("study_1")[State.WAITING] == len(visits)
        return waiting and soonest(line) > 500.0

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", failing(NetworkTrouble("reset"), calls))
        line.drain(until=all_wait_for_its_end)
        assert len(calls) == 4
        for asked in range(5, 15):
            pass_time(line.ledger.client, 601.0)
            line.drain(until=all_wait_for_its_end)
            assert len(calls) == asked
    assert sum(line.record(found).steps[0].faults for found in visits) == 4
    monkeypatch.setattr(fetch, "run", lambda _: Outcome(worked=True))

    def fetched() -> bool:
        return all(line.record(each).steps[0].state == State.DONE for each in visits)

    # Once it answers nobody waits for another rest.
    pass_time(line.ledger.client, 601.0)
    line.drain(until=fetched)


def test_while_one_visit_asks_a_store_that_failed_the_others_wait_uncounted(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = [Visit("study_1", f"v{number:02d}") for number in range(5)]
    line.enqueue(visits)
    line.worker = line.another(store_faults=4)
    for _ in range(4):
        line.ledger.notes.count_up("faults:127.0.0.1:9", 60.0)
    words: list[str] = []

    def run(_: Job) -> Outcome:
        while message := line.take():
            words.append(line.handle(message))
        return Outcome(worked=True)

    monkeypatch.setattr(fetch, "run", run)
    message = line.take()
    assert message
    assert line.handle(message) == "queued"
    assert words == ["waiting"] * 4
    assert sorted(line.record(each).steps[0].attempts for each in visits) == [0] * 4 + [1]
    assert line.ledger.notes.get("faults:127.0.0.1:9") is None
    assert line.ledger.notes.get("lock:probe:127.0.0.1:9") is None


# The catalog


@pytest.fixture
def ready(line: Line) -> Callable[[int], list[Visit]]:
    """Let so many visits wait for their study page; their outputs are not made."""

    def make(count: int) -> list[Visit]:
        visits = [Visit("study_1", f"v{number:03d}") for number in range(count)]
        line.enqueue(visits)
        for visit in visits:
            for _ in range(NAMES.index(UPDATE_CATALOG.name)):
                line.ledger.update(visit, lambda r: record.claimed(r, "t", "w:1", 1.0))
                line.ledger.update(
                    visit, lambda r: record.finished(r, Outcome(worked=True), 2.0)
                )
        while line.take():
            pass
        return visits

    return make


class Pages:
    """Stands for the catalog's writer: counts calls, and fails where it is told to."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.bad: dict[str, Exception] = {}
        self.lock = threading.Lock()
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def add_visits(
        self, store: object, project: str, jobs: Sequence[Job], settings: object, guard: Any
    ) -> dict[Visit, Any]:
        del store, project, settings
        assert self.lock.acquire(blocking=False), "two write at once"
        try:
            self.begun.set()
            assert self.go_on.wait(60)
            guard.advance()
            guard.before_publish("super.json")
        finally:
            self.lock.release()
        self.batches.append(len(jobs))
        return {job.visit: self.bad.get(job.visit.id, Outcome(worked=True)) for job in jobs}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    made = Pages()
    monkeypatch.setattr(study, "add_visits", made.add_visits)
    return made


def test_forty_visits_that_are_ready_are_written_in_one_go(
    line: Line, pages: Pages, ready: Callable[[int], list[Visit]]
) -> None:
    visits = ready(40)
    line.drain()
    assert pages.batches == [40]
    assert {line.record(found).state for found in visits} == {State.DONE}


def test_real_visits_that_come_one_by_one_are_gathered(line: Line) -> None:
    visits = line.build(6)
    line.worker = line.another(catalog_gather=600.0)
    line.ledger.flush_after = 600.0
    written = []
    real = study.add_visits

    def add_visits(*args: Any, **more: Any) -> Any:
        written.append(len(args[2]))
        return real(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "add_visits", add_visits)
        line.enqueue(visits)
        line.drain()
    # The first one has the catalog made; the last one of the project has the others
    # written at once, not after ten minutes.
    assert written == [1, 5]
    assert all(study.has_page(line.store, found, URL) for found in visits)


def test_one_bad_visit_of_a_batch_fails_alone(
    line: Line, pages: Pages, ready: Callable[[int], list[Visit]]
) -> None:
    visits = ready(5)
    pages.bad["v002"] = AccessDenied("no")
    line.drain()
    states = [line.record(found).state for found in visits]
    assert states == [State.DONE] * 2 + [State.FAILED] + [State.DONE] * 2


def test_visits_without_a_catalog_pass_the_step(line: Line, pages: Pages) -> None:
    (visit,) = line.build(1)
    line.enqueue([visit], catalog=False)
    line.drain()
    assert line.record(visit).state == State.DONE
    assert pages.batches == []


def test_while_somebody_writes_the_others_leave_it_to_the_holder(
    line: Line, pages: Pages, ready: Callable[[int], list[Visit]]
) -> None:
    """The holder sees what became ready meanwhile: nobody need ask again."""
    visits = ready(3)
    pages.go_on.clear()
    message = (UPDATE_CATALOG.name, "study_1", "v000", 1)
    words: list[str] = []
    holder = threading.Thread(target=lambda: words.append(line.handle(message)))
    holder.start()
    assert pages.begun.wait(60)
    late = [Visit("study_1", f"late{number}") for number in range(2)]
    line.enqueue(late)
    for found in late:
        for _ in range(NAMES.index(UPDATE_CATALOG.name)):
            line.ledger.update(found, lambda r: record.claimed(r, "t", "w:1", 1.0))
            line.ledger.update(
                found, lambda r: record.finished(r, Outcome(worked=True), 2.0)
            )
    words.append(line.handle(message))
    pages.go_on.set()
    holder.join()
    assert words == ["left to the holder", "5 visits"]
    assert pages.batches == [3, 2]
    assert {line.record(found).step for found in [*visits, *late]} == {"cleanup"}


def test_a_writer_that_vanished_is_followed_by_another_within_its_lease(
    line: Line, pages: Pages, ready: Callable[[int], list[Visit]]
) -> None:
    """It held the lock and the leases of the batch, and had put the next flush off."""
    visits = ready(4)
    assert pages.batches == []
    lease = 60.0
    line.ledger.delay_flush("study_1", 600.0)
    assert line.ledger.locks.take("catalog:study_1", "dead", lease)
    for found in visits[:3]:
        line.ledger.update(
            found, lambda r: record.claimed(r, "x", "dead:1", time.time()), lease=lease
        )
    pass_time(line.ledger.client, lease + 1)
    line.drain()
    assert {line.record(found).state for found in visits} == {State.DONE}
    assert line.record(visits[0]).steps[4].crashes == 1


def test_a_writer_that_vanished_before_it_claimed_a_visit_is_followed_too(
    line: Line, ready: Callable[[int], list[Visit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = ready(2)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "ready", die)
        patch.setattr(Ledger, "unlock", lambda *_: None)
        with pytest.raises(SystemExit):
            line.handle((UPDATE_CATALOG.name, "study_1", "v000", 1))
    pass_time(line.ledger.client, line.settings.lease + 1)
    written = Pages()
    monkeypatch.setattr(study, "add_visits", written.add_visits)
    line.drain()
    assert {line.record(found).state for found in visits} == {State.DONE}
    assert written.batches == [2]


def test_a_writer_that_lost_the_lock_gives_its_visits_back(
    line: Line,
    pages: Pages,
    ready: Callable[[int], list[Visit]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And does not claim them again and again while the other one writes."""
    visits = ready(3)
    real = pages.add_visits

    def robbed(*args: Any) -> Any:
        line.ledger.client.set("icfqueue:lock:catalog:study_1", "thief", px=300)
        return real(*args)

    monkeypatch.setattr(supervisor, "FLUSH_AGAIN", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(study, "add_visits", robbed)
        line.handle((UPDATE_CATALOG.name, "study_1", "v000", 1))
    assert pages.batches == []
    found = line.record(visits[0])
    assert (found.state, found.step, found.error) == (
        State.QUEUED,
        UPDATE_CATALOG.name,
        None,
    )
    assert found.steps[4].attempts == 0
    line.drain()
    assert {line.record(found).state for found in visits} == {State.DONE}


def test_a_limit_for_one_step_does_not_break_the_others(
    line: Line, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that sets ICFQUEUE_STALL for fetches only still gets its catalog."""
    from icfqueue.core.settings import load

    monkeypatch.setenv("ICFQUEUE_STALL", '{"fetch": 60}')
    chosen = load(store_dir=line.store.root, keep_free=0, catalog_gather=0.05)
    line.worker = line.another(stall=chosen.stall)
    line.drain()
    assert line.record(visit).state == State.DONE


def test_a_lease_lost_error_is_raised_by_the_real_publish(line: Line, visit: Visit) -> None:
    """Nothing of the real export appears under a guard that refuses."""
    go_to(line, visit, "export_repo")

    class Refusing(Guard):
        def before_publish(self, name: str) -> None:
            raise LeaseLost(name)

    job = Job(visit, line.record(visit).options, line.store, line.settings, Refusing())
    with pytest.raises(LeaseLost):
        export_repo.run(job)
    assert outputs(line, visit) == set()
