"""What lies in the queues, on a real broker."""

from __future__ import annotations

import pytest
from support.in_process_queue import InProcessQueue

from icfqueue.broker.celery_app import LEVELS, SEPARATOR, UNACKED
from icfqueue.broker.queues import lists
from icfqueue.core.options import Options
from icfqueue.core.steps import QUEUES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record


@pytest.fixture
def many(in_process_queue: InProcessQueue) -> InProcessQueue:
    """Messages of 1,203 visits in all priorities: more than are read at once."""
    options = Options("https://data.example.org")
    records = [
        record.new(Visit("study_1", f"v{number:04d}"), options, number % 5, 1.0)
        for number in range(1203)
    ]
    assert in_process_queue.messages.send_many(iter(records)) == 1203
    return in_process_queue


def test_a_queue_is_a_list_for_each_priority() -> None:
    assert lists("fetch")[0] == "fetch"
    assert lists("fetch")[-1] == f"fetch{SEPARATOR}{LEVELS[-1]}"
    assert len(lists("fetch")) == len(LEVELS)


def test_all_priorities_count_and_are_read_in_batches(many: InProcessQueue) -> None:
    assert many.queues.depth("fetch") == 1203
    waiting = sorted(many.queues.waiting("fetch"))
    assert waiting == [f"study_1/v{number:04d}" for number in range(1203)]


def test_queues_do_not_mix(many: InProcessQueue) -> None:
    for queue in QUEUES[1:]:
        assert many.queues.depth(queue) == 0
        assert list(many.queues.waiting(queue)) == []


def test_looking_takes_nothing(many: InProcessQueue) -> None:
    list(many.queues.waiting("fetch"))
    assert many.queues.depth("fetch") == 1203
    assert many.queues.unacknowledged() == 0


def test_what_somebody_else_put_there_counts_but_is_no_visits(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([Visit("study_1", "v")])
    strange = ("no JSON", "null", "7", '{"headers": []}', '{"headers": {}}', "[]")
    in_process_queue.ledger.client.lpush("fetch", *strange)
    assert in_process_queue.queues.depth("fetch") == len(strange) + 1
    assert list(in_process_queue.queues.waiting("fetch")) == ["study_1/v"]


def test_messages_that_workers_hold_are_counted(in_process_queue: InProcessQueue) -> None:
    """A real consumer has one and has not acknowledged it."""
    in_process_queue.enqueue([Visit("study_1", "v")])
    with in_process_queue.app.connection_for_read() as connection:
        fetch = [q for q in in_process_queue.app.conf.task_queues if q.name == "fetch"]
        held = []
        with connection.Consumer(fetch, callbacks=[lambda _, m: held.append(m)]):
            connection.drain_events(timeout=20)
            assert in_process_queue.queues.unacknowledged() == 1
            assert in_process_queue.ledger.client.exists(UNACKED)
            held[0].ack()
        assert in_process_queue.queues.unacknowledged() == 0
