"""A store that is busy or fails over and over is left alone, and fails no visit."""

from __future__ import annotations

import pytest
from support.in_process_queue import URL, InProcessQueue
from support.pipeline import FailingStep
from support.waiting import pass_time

from icfqueue.core.errors import NetworkTrouble, StoreBusy
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import State
from icfqueue.steps import fetch
from icfqueue.steps.job import Job

HOST = URL.removeprefix("http://")


def enqueue_names(queue: InProcessQueue, count: int) -> list[Visit]:
    """Enqueue visits whose tarballs are nowhere."""
    visits = [Visit("study_1", f"v{number:02d}") for number in range(count)]
    queue.enqueue(visits)
    return visits


def all_wait(queue: InProcessQueue, visits: list[Visit]) -> bool:
    return queue.ledger.counts("study_1")[State.WAITING] == len(visits)


def faults_of_fetches(queue: InProcessQueue, visits: list[Visit]) -> int:
    """Return how many failures count against the visits."""
    return sum(queue.record(visit).steps[0].faults for visit in visits)


def seconds_to_next(queue: InProcessQueue) -> float:
    """Return for how many seconds the visit waits that is the next to go on."""
    seconds, _ = queue.ledger.client.time()
    [(_, due)] = queue.ledger.client.zrange(key("due"), 0, 0, withscores=True)
    return float(due / 1000 - seconds)


def test_a_busy_store_is_asked_again_when_it_said_so(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    step = FailingStep(StoreBusy("503", retry_after=600.0))
    visits = queue.build(3)
    tarballs = [queue.store.path(visit, visit.tarball) for visit in visits]
    for path in tarballs:
        path.rename(path.with_suffix(".away"))
    queue.enqueue(visits)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", step)
        queue.drain(until=lambda: all_wait(queue, visits))
    assert len(step.calls) == 1
    for path in tarballs:
        path.with_suffix(".away").rename(path)
    assert {queue.record(visit).attempts for visit in visits} == {0}
    pass_time(queue.ledger.client, 500.0)
    queue.supervisor.look()
    assert queue.take() is None
    pass_time(queue.ledger.client, 101.0)
    queue.drain()
    assert queue.ledger.counts("study_1")[State.DONE] == 3


def test_a_store_that_fails_over_and_over_is_left_alone(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    step = FailingStep(NetworkTrouble("reset"))
    visits = enqueue_names(queue, 20)
    queue.worker = queue.another(store_faults=4, retry_base=600.0)
    monkeypatch.setattr(fetch, "run", step)
    queue.drain(until=lambda: all_wait(queue, visits))
    assert len(step.calls) == 4
    assert faults_of_fetches(queue, visits) == 4


def test_an_outage_of_the_store_fails_no_visit_however_long_it_lasts(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each rest one visit asks; those that ask at once otherwise fail by and by."""
    queue = in_process_queue
    step = FailingStep(NetworkTrouble("reset"))
    visits = enqueue_names(queue, 20)
    queue.worker = queue.another(
        store_faults=4, store_pause=600.0, retry_base=0.01, retry_cap=0.05, max_attempts=2
    )

    def all_wait_for_its_end() -> bool:
        return all_wait(queue, visits) and seconds_to_next(queue) > 500.0

    def all_fetched() -> bool:
        return all(queue.record(visit).steps[0].state == State.DONE for visit in visits)

    monkeypatch.setattr(fetch, "run", step)
    queue.drain(until=all_wait_for_its_end)
    assert len(step.calls) == 4
    for asked in range(5, 15):
        pass_time(queue.ledger.client, 601.0)
        queue.drain(until=all_wait_for_its_end)
        assert len(step.calls) == asked
    assert faults_of_fetches(queue, visits) == 4
    # Once it answers nobody waits for another rest.
    monkeypatch.setattr(fetch, "run", lambda _: Outcome(worked=True))
    pass_time(queue.ledger.client, 601.0)
    queue.drain(until=all_fetched)


class FetchMeanwhile:
    """Stands for a fetch: while it asks the store, all other messages are acted on."""

    def __init__(self, queue: InProcessQueue) -> None:
        self.queue = queue
        self.answers: list[str] = []

    def __call__(self, _: Job) -> Outcome:
        while message := self.queue.take():
            self.answers.append(self.queue.handle(message))
        return Outcome(worked=True)


def test_while_one_visit_asks_a_store_that_failed_the_others_wait_uncounted(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    visits = enqueue_names(queue, 5)
    queue.worker = queue.another(store_faults=4)
    for _ in range(4):
        queue.ledger.notes.count_up(f"faults:{HOST}", 60.0)
    step = FetchMeanwhile(queue)
    monkeypatch.setattr(fetch, "run", step)
    message = queue.take()
    assert message
    assert queue.handle(message) == "queued"
    assert step.answers == ["waiting"] * 4
    attempts = [queue.record(visit).steps[0].attempts for visit in visits]
    assert sorted(attempts) == [0] * 4 + [1]
    assert queue.ledger.notes.get(f"faults:{HOST}") is None
    assert queue.ledger.notes.get(f"lock:probe:{HOST}") is None
