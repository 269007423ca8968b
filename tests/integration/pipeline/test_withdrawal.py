"""A step whose visit is taken away in the middle of it lets nothing appear."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from support.guards import LosingGuard
from support.in_process_queue import InProcessQueue
from support.pipeline import (
    InterruptedExport,
    deposited_files,
    scratch_folders,
    take_message_for,
)

from icfqueue.core.errors import LeaseLost
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.steps import export_repo, index_tar
from icfqueue.steps.job import Job


def test_cancelled_while_it_runs_a_step_publishes_nothing(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    message = take_message_for(queue, visit, "export_repo")
    export = InterruptedExport(monkeypatch, lambda: queue.producer.cancel([visit]))
    assert queue.handle(message) == "withdrawn"
    assert export.asked
    assert queue.record(visit).state == State.CANCELLED
    assert deposited_files(queue, visit) == set()
    assert not scratch_folders(queue)
    # And it can go on from there.
    queue.producer.retry([visit], [State.CANCELLED])
    queue.drain()
    assert queue.record(visit).state == State.DONE
    assert len(deposited_files(queue, visit)) == 2


def test_a_lease_stolen_between_claim_and_publish_lets_nothing_appear(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thief does the step; the zombie that wakes up throws its work away."""
    queue = in_process_queue
    message = take_message_for(queue, visit, "export_repo")

    def steal() -> None:
        assert queue.ledger.update(visit, record.orphaned)
        assert queue.ledger.update(
            visit, lambda r: record.claimed(r, "thief", "host:2", time.time()), lease=30.0
        )

    InterruptedExport(monkeypatch, steal)
    assert queue.handle(message) == "withdrawn"
    after = queue.record(visit)
    assert (after.state, after.token) == (State.RUNNING, "thief")
    assert deposited_files(queue, visit) == set()
    assert not scratch_folders(queue)


def test_all_data_of_the_broker_lost_in_mid_step_publishes_nothing(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    message = take_message_for(queue, visit, "export_repo")
    InterruptedExport(monkeypatch, queue.ledger.client.flushall)
    assert queue.handle(message) == "withdrawn"
    assert deposited_files(queue, visit) == set()
    assert queue.ledger.get(visit) is None


def test_a_lease_lost_error_is_raised_by_the_real_publish(
    in_process_queue: InProcessQueue, visit: Visit
) -> None:
    """Nothing of the real export appears under a guard that refuses."""
    queue = in_process_queue
    take_message_for(queue, visit, "export_repo")
    options = queue.record(visit).options
    with pytest.raises(LeaseLost):
        export_repo.run(Job(visit, options, queue.store, queue.settings, LosingGuard()))
    assert deposited_files(queue, visit) == set()


@dataclass
class EndlessStep:
    """Stands for a step's ``run``: asks its worker to stop, and never ends by itself."""

    asked: list[float] = field(default_factory=list)

    def stop_asked(self) -> float | None:
        return self.asked[0] if self.asked else None

    def __call__(self, job: Job) -> Outcome:
        self.asked.append(time.monotonic())
        while True:
            job.guard.advance(bytes=1)
            time.sleep(0.01)


def test_a_worker_that_stops_gives_its_visit_back_and_no_attempt_counts(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    step = EndlessStep()
    queue.worker.stopping = Stopping(step.stop_asked, 0.0)
    monkeypatch.setattr(index_tar, "run", step)
    message = take_message_for(queue, visit, "index_tar")
    assert queue.handle(message) == "queued"
    after = queue.record(visit)
    assert (after.state, after.step, after.attempts) == (State.QUEUED, "index_tar", 1)
    assert after.steps[1].attempts == 0
    # Its message is back in the queue for another worker.
    assert queue.take() == message
