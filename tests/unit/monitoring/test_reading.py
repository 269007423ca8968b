"""All that is measured, asked of a real broker at one moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.in_process_queue import URL, InProcessQueue

from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.monitoring.reading import NOWHERE, Reading, read

HOST = URL.partition("//")[2]


def reading(queue: InProcessQueue, folder: Path | None = None) -> Reading:
    root = folder or queue.store.root
    return read(queue.ledger, queue.queues, root, "https://other.example.org")


def test_each_visit_is_counted_at_its_state_and_step(
    in_process_queue: InProcessQueue,
) -> None:
    queue = in_process_queue
    done, failed, waits, runs, cancelled, queued = visits = queue.build(6)
    queue.enqueue(visits)
    queue.advance(failed, "index_tar")
    queue.hold(failed)
    end(queue, failed, BadTarball("x"), Fail())
    queue.hold(waits)
    end(queue, waits, NetworkTrouble("x"), RetryIn(1000.0))
    queue.advance(runs, "export_repo")
    queue.hold(runs)
    queue.producer.cancel([cancelled])
    while queue.record(done).state != State.DONE:
        queue.hold(done)
        queue.ledger.update(done, finish)
    found = reading(queue)
    project = found.projects["study_1"]
    assert +project.visits == {
        (State.QUEUED, "fetch"): 1,
        (State.RUNNING, "export_repo"): 1,
        (State.WAITING, "fetch"): 1,
        (State.FAILED, "index_tar"): 1,
        (State.CANCELLED, "fetch"): 1,
        (State.DONE, NOWHERE): 1,
    }
    assert queued
    assert project.failed.total() == 1
    assert set(project.oldest) == {"export_repo"}
    assert project.tallies.retries.keys() == {("fetch", *project.tallies.retries)[1]}
    assert found.queues["fetch"] == len(visits)
    assert found.overdue == 0.0
    assert found.rests.stores == {HOST: False, "other.example.org": False}
    assert found.disk is not None
    assert found.disk[0] <= found.disk[1]


def finish(found: record.Record) -> record.Record:
    return record.finished(found, record.Outcome(worked=True, tar_bytes=5), 2e9)


def end(queue: InProcessQueue, visit: Visit, error: Any, decision: Any) -> None:
    queue.ledger.update(visit, lambda found: record.failed(found, error, decision, 2e9))


def test_what_rests_is_told(in_process_queue: InProcessQueue) -> None:
    queue = in_process_queue
    queue.enqueue(queue.build(1))
    words = json.dumps({"message": "m", "hint": "h"})
    for name in ("rest:disk", "rest:other.example.org", "hold:study_1"):
        queue.ledger.notes.put(name, words, 9.0)
    found = reading(queue).rests
    assert found.disk
    assert found.stores == {"other.example.org": True}
    assert found.held == {"study_1": True}


def test_a_lease_that_ran_out_and_an_unreadable_record_are_told(
    in_process_queue: InProcessQueue,
) -> None:
    queue = in_process_queue
    lost, spoilt = queue.build(2)
    queue.enqueue([lost, spoilt])
    queue.hold(lost, lease=0.001)
    queue.hold(spoilt)
    queue.ledger.client.hset(f"icfqueue:visit:{spoilt}", "r", "{")
    queue.ledger.client.zadd("icfqueue:leases", {str(lost): 1000})
    found = reading(queue)
    assert found.overdue > 1e6
    visits = found.projects["study_1"].visits
    assert visits[State.RUNNING, NOWHERE] == 1
    assert visits[State.RUNNING, "fetch"] == 1


def test_a_store_directory_that_is_away_has_no_free_room(
    in_process_queue: InProcessQueue, tmp_path: Path
) -> None:
    assert reading(in_process_queue, tmp_path / "away").disk is None


@pytest.mark.parametrize("states", [5, 50])
def test_visits_that_are_queued_or_done_are_not_read(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch, states: int
) -> None:
    queue = in_process_queue
    queue.ledger.put_many(
        [
            (None, record.new(Visit("p", f"v{i}"), record.Options(URL), 0, 1.0))
            for i in range(states)
        ]
    )
    asked: list[Visit] = []
    plain = queue.ledger.get_many

    def watched(visits: Any) -> Any:
        asked.extend(visits)
        return plain(visits)

    monkeypatch.setattr(queue.ledger, "get_many", watched)
    assert reading(queue).projects["p"].visits[State.QUEUED, "fetch"] == states
    assert not asked
