"""What a message carries, and how messages are counted and ordered."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from support.in_process_queue import InProcessQueue, decoded
from support.waiting import pass_time

from icfqueue.broker.celery_app import SEPARATOR
from icfqueue.broker.queues import lists
from icfqueue.core.options import Options, Outcome
from icfqueue.core.priority import LEVELS, MAX_PRIORITY
from icfqueue.core.steps import NAMES, QUEUES, STEPS
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record
from icfqueue.pipeline.messages import Nudge

OPTIONS = Options("https://user:hunter2@data.example.org", credential="secret-name")


def queued(name: str = "v", priority: int = 0, steps: int = 0) -> Record:
    found = record.new(Visit("study_1", name), OPTIONS, priority, 1.0)
    for _ in range(steps):
        found = record.claimed(found, "t", "w", 1.0)
        found = record.finished(found, Outcome(worked=True), 2.0)
    return found


def raw(in_process_queue: InProcessQueue) -> list[dict[str, Any]]:
    """Return every message in every queue."""
    client = in_process_queue.ledger.client
    names = [f"{q}{SEPARATOR}{n}" if n else q for q in QUEUES for n in LEVELS]
    return [json.loads(text) for name in names for text in client.lrange(name, 0, -1)]


def test_a_message_carries_ids_alone_as_json(in_process_queue: InProcessQueue) -> None:
    in_process_queue.messages.send(queued())
    (found,) = raw(in_process_queue)
    assert found["content-type"] == "application/json"
    body = json.loads(base64.b64decode(found["body"]))
    assert body[:2] == [["study_1", "v", 1], {}]
    assert found["headers"]["task"] == "icfqueue.fetch"
    whole = json.dumps(found) + json.dumps(body)
    assert "hunter2" not in whole
    assert "secret-name" not in whole
    assert len(json.dumps(found)) < 1500


@pytest.mark.parametrize("position", range(len(NAMES)))
def test_each_step_has_its_task_and_its_queue(
    in_process_queue: InProcessQueue, position: int
) -> None:
    in_process_queue.messages.send(queued(steps=position))
    step = STEPS[position]
    assert {queue: in_process_queue.queues.depth(queue) for queue in QUEUES} == {
        queue: int(queue == step.queue) for queue in QUEUES
    }
    assert in_process_queue.take() == (step.name, "study_1", "v", 1)
    assert in_process_queue.take() is None


def test_begun_visits_go_first_then_the_more_urgent_ones() -> None:
    levels = [
        Nudge.of(queued(priority=priority, steps=steps)).level
        for steps in (1, 0)
        for priority in range(MAX_PRIORITY, -1, -1)
    ]
    assert levels == list(LEVELS)


def test_of_many_messages_the_begun_and_urgent_come_out_first(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.messages.send_many(
        [queued("a"), queued("b"), queued("urgent", 4), queued("begun", 0, 1), queued("c")]
    )
    order = []
    while message := in_process_queue.take():
        order.append(message[2])
    assert order == ["begun", "urgent", "a", "b", "c"]


def test_many_messages_are_sent_over_one_connection(
    in_process_queue: InProcessQueue,
) -> None:
    records = [queued(f"v{number:04d}", number % 5) for number in range(1203)]
    assert in_process_queue.messages.send_many(iter(records)) == 1203
    assert in_process_queue.queues.depth("fetch") == 1203
    assert in_process_queue.messages.send_many([]) == 0


def test_a_message_that_is_sent_again_counts_as_sent_just_now(
    in_process_queue: InProcessQueue,
) -> None:
    found = queued()
    in_process_queue.ledger.put_many([(None, found)])
    pass_time(in_process_queue.ledger.client, 6.0)
    turns = in_process_queue.ledger.turns
    assert turns.count("fetch", lists("fetch"), 5.0).late == [found.visit]
    assert in_process_queue.messages.send_again([found]) == 1
    assert turns.count("fetch", ["none"] * 10, 5.0).late == []
    message = in_process_queue.ledger.client.rpop(f"fetch{SEPARATOR}9")
    assert decoded(message) == ("fetch", "study_1", "v", 1)


def test_a_visit_that_is_streamed_gets_the_message_of_a_download(
    in_process_queue: InProcessQueue,
) -> None:
    """A worker of the release before, which would miss the tarball, drops it."""
    in_process_queue.messages.send(replace(queued(steps=1), streamed=True))
    assert in_process_queue.queues.depth("fetch") == 1
    assert in_process_queue.take() == ("fetch", "study_1", "v", 1)
