"""What a message carries, and how messages are counted and ordered."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest
from kombu.exceptions import ContentDisallowed
from support.in_process_queue import Line, decoded

from icfqueue.broker.celery_app import LEVELS, SEPARATOR, make_app
from icfqueue.broker.connection import Broker
from icfqueue.core.options import Options, Outcome
from icfqueue.core.steps import NAMES, QUEUES, STEPS
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import MAX_PRIORITY, Record
from icfqueue.pipeline.messages import Nudge

OPTIONS = Options("https://user:hunter2@data.example.org", credential="secret-name")


def queued(name: str = "v", priority: int = 0, steps: int = 0) -> Record:
    found = record.new(Visit("study_1", name), OPTIONS, priority, 1.0)
    for _ in range(steps):
        found = record.claimed(found, "t", "w", 1.0)
        found = record.finished(found, Outcome(worked=True), 2.0)
    return found


def raw(line: Line) -> list[dict[str, Any]]:
    """Return every message in every queue."""
    client = line.ledger.client
    names = [f"{q}{SEPARATOR}{n}" if n else q for q in QUEUES for n in LEVELS]
    return [json.loads(text) for name in names for text in client.lrange(name, 0, -1)]


def test_a_message_carries_ids_alone_as_json(line: Line) -> None:
    line.messages.send(queued())
    (found,) = raw(line)
    assert found["content-type"] == "application/json"
    body = json.loads(base64.b64decode(found["body"]))
    assert body[:2] == [["study_1", "v", 1], {}]
    assert found["headers"]["task"] == "icfqueue.fetch"
    whole = json.dumps(found) + json.dumps(body)
    assert "hunter2" not in whole
    assert "secret-name" not in whole
    assert len(json.dumps(found)) < 1500


@pytest.mark.parametrize("position", range(len(NAMES)))
def test_each_step_has_its_task_and_its_queue(line: Line, position: int) -> None:
    line.messages.send(queued(steps=position))
    step = STEPS[position]
    assert {queue: line.messages.depth(queue) for queue in QUEUES} == {
        queue: int(queue == step.queue) for queue in QUEUES
    }
    assert line.take() == (step.name, "study_1", "v", 1)
    assert line.take() is None


def test_begun_visits_go_first_then_the_more_urgent_ones() -> None:
    levels = [
        Nudge.of(queued(priority=priority, steps=steps)).priority
        for steps in (1, 0)
        for priority in range(MAX_PRIORITY, -1, -1)
    ]
    assert levels == LEVELS


def test_of_many_messages_the_begun_and_urgent_come_out_first(line: Line) -> None:
    line.messages.send_many(
        [queued("a"), queued("b"), queued("urgent", 4), queued("begun", 0, 1), queued("c")]
    )
    order = []
    while message := line.take():
        order.append(message[2])
    assert order == ["begun", "urgent", "a", "b", "c"]


def test_many_messages_are_sent_and_listed_in_batches(line: Line) -> None:
    records = [queued(f"v{number:04d}", number % 5) for number in range(1203)]
    assert line.messages.send_many(iter(records)) == 1203
    assert line.messages.depth("fetch") == 1203
    assert sorted(line.messages.waiting("fetch")) == [str(r.visit) for r in records]
    assert list(line.messages.waiting("index")) == []
    assert line.messages.send_many([]) == 0


def test_a_message_that_is_sent_again_counts_as_sent_just_now(line: Line) -> None:
    found = queued()
    line.ledger.put_many([(None, found)])
    line.ledger.client.zadd("icfqueue:sent:fetch", {"study_1/v": 0})
    assert line.ledger.unsent("fetch", 5.0) == [found.visit]
    assert line.messages.send_again([found]) == 1
    assert line.ledger.unsent("fetch", 5.0) == []
    message = line.ledger.client.rpop(f"fetch{SEPARATOR}9")
    assert decoded(message) == ("fetch", "study_1", "v", 1)


def test_pickle_is_not_accepted(line: Line) -> None:
    """A pickle in a queue is a program that a stranger sends."""
    app = make_app(Broker(line.app.conf.broker_url))
    assert app.conf.accept_content == app.conf.result_accept_content == ["json"]
    line.messages.send(queued())
    name = f"fetch{SEPARATOR}9"
    found = json.loads(line.ledger.client.rpop(name))
    found["body"] = base64.b64encode(pickle.dumps([["p", "v", 1], {}, {}])).decode()
    found["content-type"] = "application/x-python-serialize"
    found["content-encoding"] = "binary"
    line.ledger.client.lpush(name, json.dumps(found))
    refused = []

    def receive(body: object, message: Any) -> None:
        refused.append(body)
        message.ack()

    with line.app.connection_for_read() as connection:
        consumer = connection.Consumer(
            [q for q in line.app.conf.task_queues if q.name == "fetch"],
            callbacks=[receive],
            accept=line.app.conf.accept_content,
        )
        with consumer, pytest.raises(ContentDisallowed):
            connection.drain_events(timeout=20)
    assert refused == []
