"""What both ends of the queue agree on."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from support.in_process_queue import InProcessQueue

from icfqueue.broker.aside import notes
from icfqueue.broker.celery_app import SEPARATOR, make_app
from icfqueue.broker.connection import Broker
from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import QUEUES
from icfqueue.core.visit import Visit

V = Visit("study_1", "v")


def test_there_are_the_queues_of_the_steps_and_no_others_are_made() -> None:
    """A message for a queue that nobody serves would never come."""
    conf = make_app(Broker("redis://host")).conf
    assert tuple(queue.name for queue in conf.task_queues) == QUEUES
    assert conf.task_default_queue in QUEUES
    assert conf.task_create_missing_queues is False


def test_messages_and_results_are_json_and_results_do_not_pile_up() -> None:
    conf = make_app(Broker("redis://host")).conf
    assert conf.task_serializer == conf.result_serializer == "json"
    assert conf.accept_content == conf.result_accept_content == ["json"]
    assert 0 < conf.result_expires <= 24 * 3600


def test_priorities_are_those_of_the_queues() -> None:
    options = make_app(Broker("redis://host")).conf.broker_transport_options
    assert options["priority_steps"] == list(LEVELS)
    assert options["sep"] == SEPARATOR


def test_a_broker_that_is_away_is_tried_for_longer_than_a_restart_takes() -> None:
    """``max_retries=None`` would be capped in silence."""
    policy = make_app(Broker("redis://host")).conf.task_publish_retry_policy
    assert policy["max_retries"] * policy["interval_max"] >= 3000
    assert make_app(Broker("redis://host")).conf.broker_connection_max_retries is None


def test_tls_is_for_broker_and_results_alike(tmp_path: Path) -> None:
    plain = make_app(Broker("redis://host")).conf
    assert not plain.broker_use_ssl
    conf = make_app(Broker("rediss://host", tmp_path / "ca.pem")).conf
    assert conf.broker_use_ssl == conf.redis_backend_use_ssl
    assert conf.broker_use_ssl["ssl_ca_certs"] == str(tmp_path / "ca.pem")


def test_an_application_is_not_made_the_current_one_of_its_process() -> None:
    """Commands and tests make many."""
    from celery import current_app

    made = make_app(Broker("redis://host"))
    assert current_app._get_current_object() is not made


def test_pickle_is_not_accepted(in_process_queue: InProcessQueue) -> None:
    """A pickle in a queue is a program that a stranger sends: it is put aside."""
    in_process_queue.enqueue([V])
    name = f"fetch{SEPARATOR}9"
    found = json.loads(in_process_queue.ledger.client.rpop(name))
    found["body"] = base64.b64encode(pickle.dumps([["p", "v", 1], {}, {}])).decode()
    found["content-type"] = "application/x-python-serialize"
    found["content-encoding"] = "binary"
    in_process_queue.ledger.client.lpush(name, json.dumps(found))
    received: list[Any] = []
    with in_process_queue.app.connection_for_read() as connection:
        consumer = connection.Consumer(
            [q for q in in_process_queue.app.conf.task_queues if q.name == "fetch"],
            callbacks=[lambda body, _: received.append(body)],
            accept=in_process_queue.app.conf.accept_content,
        )
        with consumer, pytest.raises(TimeoutError):
            connection.drain_events(timeout=1)
    assert received == []
    count, kept = notes(in_process_queue.ledger.client)
    assert count == 1
    assert "JSON" in kept[0].why
