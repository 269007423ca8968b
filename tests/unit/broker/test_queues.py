"""What lies in the queues, on a real broker."""

from __future__ import annotations

from typing import Any

import pytest
from support.garbage import garbage
from support.in_process_queue import InProcessQueue

from icfqueue.broker.aside import notes
from icfqueue.broker.celery_app import SEPARATOR
from icfqueue.broker.queues import lists
from icfqueue.core.options import Options
from icfqueue.core.priority import LEVELS
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


def test_what_somebody_else_put_there_counts_but_is_no_visits(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([Visit("study_1", "v")])
    strange = ("no JSON", "null", "7", '{"headers": []}', '{"headers": {}}', "[]")
    in_process_queue.ledger.client.lpush("fetch", *strange)
    assert in_process_queue.queues.depth("fetch") == len(strange) + 1
    assert list(in_process_queue.queues.waiting("fetch")) == ["study_1/v"]


def test_a_message_that_a_worker_holds_is_nowhere_in_the_broker(
    in_process_queue: InProcessQueue,
) -> None:
    """Nobody can change it there; if it is not acknowledged, it goes back."""
    in_process_queue.enqueue([Visit("study_1", "v")])
    client = in_process_queue.ledger.client
    before = set(client.keys("*"))
    with in_process_queue.app.connection_for_read() as connection:
        fetch = [q for q in in_process_queue.app.conf.task_queues if q.name == "fetch"]
        held: list[Any] = []
        with connection.Consumer(fetch, callbacks=[lambda _, m: held.append(m)]):
            connection.drain_events(timeout=20)
            assert len(held) == 1
            assert in_process_queue.queues.depth("fetch") == 0
            assert set(client.keys("*")) < before
    assert list(in_process_queue.queues.waiting("fetch")) == ["study_1/v"]


def test_binary_and_large_messages_are_passed_over(
    in_process_queue: InProcessQueue,
) -> None:
    """The supervisor reads a queue whatever is in it, and never holds what is large."""
    in_process_queue.enqueue([Visit("study_1", "v")])
    for one in garbage().values():
        in_process_queue.ledger.client.lpush("fetch", one)
    in_process_queue.ledger.client.lpush("fetch", b"x" * (1 << 22))
    assert list(in_process_queue.queues.waiting("fetch")) == ["study_1/v"]


@pytest.mark.parametrize("kind", ["string", "set", "hash"])
def test_a_key_of_a_queues_name_that_is_no_list_is_put_aside(
    kind: str, in_process_queue: InProcessQueue
) -> None:
    """Otherwise nobody could send or take a message of that queue."""
    client = in_process_queue.ledger.client
    if kind == "string":
        client.set("fetch", "x")
    elif kind == "set":
        client.sadd("fetch", "x")
    else:
        client.hset("fetch", "x", "x")
    assert list(in_process_queue.queues.waiting("fetch")) == []
    assert in_process_queue.queues.depth("fetch") == 0
    in_process_queue.enqueue([Visit("study_1", "v")])
    assert in_process_queue.queues.depth("fetch") == 1
    count, kept = notes(client)
    assert (count, kept[0].why) == (1, f"its key is a {kind} and no list")


def test_a_message_is_sent_although_its_queue_is_no_list(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.ledger.client.set(f"fetch{SEPARATOR}9", "x")
    options = Options("https://data.example.org")
    in_process_queue.messages.send(record.new(Visit("study_1", "v"), options, 0, 1.0))
    assert list(in_process_queue.queues.waiting("fetch")) == ["study_1/v"]
