"""Looks at a ledger: what is at work, how much of it is done, what comes next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.in_process_queue import InProcessQueue

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.overview import observer
from icfqueue.overview.observer import Observer

MB = 1_000_000
VISITS = [Visit("study_1", f"v{number}") for number in range(4)]


@pytest.fixture
def queue(in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch) -> RedisLedger:
    """Four visits that are to be downloaded; every look is a slow one."""
    monkeypatch.setattr(observer, "SLOW_LOOK", 0.0)
    monkeypatch.setattr(observer, "SPARING", 0.0)
    in_process_queue.enqueue(VISITS)
    return in_process_queue.ledger


def begin(ledger: RedisLedger, visit: Visit, seconds: float = 0.0) -> None:
    """Have a worker begin the visit's next step, so many seconds ago."""
    now = ledger.now() - seconds
    ledger.update(visit, lambda r: record.claimed(r, "t", "host:7", now), lease=30.0)


def end(ledger: RedisLedger, visit: Visit, outcome: Outcome) -> None:
    ledger.update(visit, lambda r: record.finished(r, outcome, ledger.now()))


def test_a_download_is_seen_from_its_first_bytes_on_with_its_size(
    queue: RedisLedger,
) -> None:
    """The room that it was promised tells how much is to come, before its record does."""
    visit = VISITS[0]
    watcher = Observer(queue, "study_1", 1)
    queue.worker_lives("host:7")
    assert watcher.look().total is None
    begin(queue, visit, 10.0)
    queue.room.promise(visit, "t", 100 * MB, 1000 * MB, 30.0)
    watcher.look()
    queue.renew(visit, "t", 30.0, 25 * MB)
    queue.room.keep(visit, "t", 75 * MB, 30.0)
    found = watcher.look()
    (one,) = found.running
    assert (one.step, one.worker, one.moved, one.to_move) == (
        "fetch",
        "host:7",
        25 * MB,
        100 * MB,
    )
    assert (found.queued, found.under_way) == (3, 1)
    # The others are taken to be as large; nothing was indexed yet, which is fast.
    assert found.total == pytest.approx(400 * MB)
    assert found.done == pytest.approx(25 * MB, rel=0.2)
    assert found.left == pytest.approx(30 + 3 * 40, rel=0.2)
    assert found.rates["fetch"] > 0


def test_what_steps_took_is_learned_when_their_visit_is_seen_again(
    queue: RedisLedger,
) -> None:
    watcher = Observer(queue, "study_1", 1)
    watcher.look()
    begin(queue, VISITS[0], 50.0)
    end(queue, VISITS[0], Outcome(worked=True, tar_bytes=100 * MB))
    found = watcher.look()
    assert (found.lined_up["index_tar"], found.lined_up["fetch"]) == (1, 3)
    assert found.left == pytest.approx(3 * 50, rel=0.2)
    # A visit that failed is no work any more, and its size is nobody's.
    begin(queue, VISITS[1])
    error = NetworkTrouble("x")
    queue.update(VISITS[1], lambda r: record.failed(r, error, Fail(), queue.now()))
    assert watcher.look().left == pytest.approx(2 * 50, rel=0.2)


def test_the_next_try_has_its_own_reason(queue: RedisLedger) -> None:
    """Not that of a visit that is tried again later, and none while nobody waits."""
    watcher = Observer(queue, "study_1")
    assert watcher.look().retry is None
    for visit, seconds in ((VISITS[0], 90.0), (VISITS[2], 30.0), (VISITS[3], 60.0)):
        begin(queue, visit)
        error = NetworkTrouble(f"line of {visit.id}")
        queue.update(
            visit,
            lambda r, e=error, s=seconds: record.failed(r, e, RetryIn(s), queue.now()),  # type: ignore[misc]  # of this turn of the loop
        )
    retry = watcher.look().retry
    assert retry is not None
    assert (retry.visit, retry.error["message"]) == (VISITS[2], "line of v2")
    assert retry.seconds == pytest.approx(30, abs=5)


def test_the_time_that_is_left_is_not_less_than_the_wait_for_the_next_try(
    queue: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two slow looks."""
    watcher = Observer(queue, "study_1", 4)
    for visit in VISITS:
        begin(queue, visit, 10.0)
    queue.room.promise(VISITS[0], "t", 100 * MB, 1000 * MB, 30.0)
    watcher.look()
    for visit in VISITS[1:]:
        end(queue, visit, Outcome(worked=True, tar_bytes=100 * MB))
    monkeypatch.setattr(observer, "SLOW_LOOK", 60.0)
    watcher.look()
    error = NetworkTrouble("x")
    queue.update(VISITS[0], lambda r: record.failed(r, error, RetryIn(300.0), queue.now()))
    found = watcher.look()
    assert found.retry is not None
    assert found.retry.seconds == pytest.approx(300, abs=5)
    assert found.left is not None
    assert found.left > 290
    # What the store announced of it is still known.
    assert found.total == 400 * MB
    assert not found.estimated


def test_the_sum_of_bytes_is_steady_while_a_download_is_looked_at(
    queue: RedisLedger,
) -> None:
    """The beat writes what came first, then what is to come; anybody may look between."""
    for visit in VISITS:
        begin(queue, visit, 10.0)
        queue.room.promise(visit, "t", 100 * MB, 1000 * MB, 30.0)
    watcher = Observer(queue, "study_1", 4)
    totals = [watcher.look().total]
    for moved in (10 * MB, 30 * MB, 70 * MB):
        queue.renew(VISITS[0], "t", 30.0, moved)
        totals.append(watcher.look().total)
        queue.room.keep(VISITS[0], "t", 100 * MB - moved, 30.0)
        totals.append(watcher.look().total)
    end(queue, VISITS[0], Outcome(worked=True, tar_bytes=100 * MB))
    totals.append(watcher.look().total)
    begin(queue, VISITS[0])
    error = NetworkTrouble("x")
    queue.update(VISITS[1], lambda r: record.failed(r, error, Fail(), queue.now()))
    found = watcher.look()
    assert {*totals, found.total} == {400.0 * MB}
    assert not found.estimated


def test_what_changes_while_it_is_looked_at_is_looked_at_again(
    queue: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a visit would count twice, or not at all."""
    for visit in VISITS:
        begin(queue, visit, 10.0)
        queue.room.promise(visit, "t", 100 * MB, 1000 * MB, 30.0)
    watcher = Observer(queue, "study_1", 4)
    watcher.look()
    totals = queue.totals
    left = list(VISITS)

    def meanwhile(project: str) -> dict[str, int]:
        found = totals(project)
        if left:
            end(queue, left.pop(), Outcome(worked=True, tar_bytes=100 * MB))
        return found

    monkeypatch.setattr(queue, "totals", meanwhile)
    assert [watcher.look().total for _ in range(3)] == [400.0 * MB] * 3


def test_visits_that_have_not_begun_are_not_read_again(
    queue: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Observer(queue, "study_1")
    watcher.look()
    asked: list[Visit] = []
    get_many = queue.get_many

    def noted(visits: list[Visit]) -> object:
        asked.extend(chosen := list(visits))
        return get_many(chosen)

    monkeypatch.setattr(queue, "get_many", noted)
    watcher.look()
    assert asked == []
    begin(queue, VISITS[0])
    watcher.look()
    assert set(asked) == {VISITS[0]}


def test_tarballs_that_are_here_are_not_downloaded(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue(in_process_queue.build(3))
    found = Observer(in_process_queue.ledger, "study_1").look()
    assert found.total is not None
    assert (found.done, found.counts[State.QUEUED]) == (0.0, 3)
    assert found.left is None


def test_of_a_catalog_that_is_written_the_visits_are_no_work_of_their_own(
    queue: RedisLedger,
) -> None:
    done = record.StepRecord("done", 1, seconds=1.0)
    for visit in VISITS:
        entry = queue.get(visit)
        assert entry is not None
        steps = (done,) * 4 + entry.record.steps[4:]
        steps = (*steps[:4], replace(steps[4], state="queued"), *steps[5:])
        queue.put_many([(entry, replace(entry.record, steps=steps, tar_bytes=MB))])
        begin(queue, visit)
    found = Observer(queue, "study_1").look()
    assert found.at_work == {"update_catalog": 4}
    assert found.left == pytest.approx(0.0, abs=0.5)


def test_a_visit_between_two_steps_is_not_lost_until_the_next_slow_look(
    queue: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Observer(queue, "study_1", 1)
    begin(queue, VISITS[0], 50.0)
    queue.room.promise(VISITS[0], "t", 100 * MB, 1000 * MB, 30.0)
    watcher.look()
    monkeypatch.setattr(observer, "SLOW_LOOK", 60.0)
    watcher.look()
    end(queue, VISITS[0], Outcome(worked=True, tar_bytes=100 * MB))
    found = watcher.look()
    assert found.total == pytest.approx(400 * MB)
    assert found.done == pytest.approx(100 * MB, rel=0.1)


def test_what_a_run_that_was_stopped_left_between_two_steps_is_queued(
    queue: RedisLedger,
) -> None:
    """Until a worker lives: then it is under way."""
    begin(queue, VISITS[0])
    end(queue, VISITS[0], Outcome(worked=True, tar_bytes=MB))
    found = Observer(queue, "study_1").look()
    assert (found.queued, found.under_way) == (4, 0)
    queue.worker_lives("host:7")
    found = Observer(queue, "study_1").look()
    assert (found.queued, found.under_way) == (3, 1)
