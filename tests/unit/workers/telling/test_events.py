"""Events are sent, and a broker that does not take them costs nothing else."""

from __future__ import annotations

import base64
import json
import logging
import threading
from typing import Any

import pytest
from support.valkey import Valkey
from support.waiting import wait_until

from icfqueue.broker.celery_app import make_app
from workers.telling import events
from workers.telling.events import Courier, Events


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> Courier:
    made = Courier(pause=0.05)
    monkeypatch.setattr(events, "courier", made)
    return made


def dispatcher(valkey: Valkey) -> Any:
    app = make_app(valkey.broker)
    app.events_cls = "workers.telling.events:Events"
    assert isinstance(app.events, Events)
    return app.events.Dispatcher(hostname="w@host", enabled=True)


def listener(valkey: Valkey) -> Any:
    found = valkey.client().pubsub(ignore_subscribe_messages=True)
    found.psubscribe("/0.celeryev/*")
    found.get_message(timeout=5)
    return found


def heard(subscribed: Any) -> str | None:
    message = subscribed.get_message(timeout=5)
    return message and json.loads(message["data"])["headers"]["hostname"]


def test_an_event_reaches_who_listens(valkey: Valkey, courier: Courier) -> None:
    subscribed = listener(valkey)
    dispatcher(valkey).send("worker-heartbeat", freq=5)
    assert heard(subscribed) == "w@host"
    courier.finish()
    assert not courier._waiting


def test_events_of_tasks_go_in_bundles(valkey: Valkey, courier: Courier) -> None:
    assert courier
    made = dispatcher(valkey)
    made.buffer_group = {"task"}
    subscribed = listener(valkey)
    for number in range(6):
        made.send("task-received", uuid=str(number))
        if number % 2:
            made.flush()
    message = subscribed.get_message(timeout=5)
    assert message["channel"] == "/0.celeryev/task.multi"
    body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
    assert [one["uuid"] for one in body] == list("012345")


def test_without_a_broker_nobody_waits_and_it_goes_on_when_it_is_back(
    valkey: Valkey, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    made = dispatcher(valkey)
    valkey.kill()
    made.send("worker-heartbeat", freq=5)
    wait_until(lambda: courier._outage.since is not None, 10, "it is noted")
    # A worker that ends does not wait for what cannot be sent.
    courier.finish(seconds=60.0)
    valkey.start()
    subscribed = listener(valkey)
    made.send("worker-heartbeat", freq=5)
    assert heard(subscribed) == "w@host"
    said = [one.getMessage() for one in caplog.records]
    assert said[0].startswith("broker.away: for the events ")


def test_who_has_no_right_to_send_events_is_told_so_and_works_on(
    valkey: Valkey, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetchannels")
    try:
        dispatcher(valkey).send("worker-heartbeat", freq=5)
        wait_until(lambda: courier._outage.since is not None, 10, "it is noted")
        assert "channel" in caplog.text
    finally:
        with valkey.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "allchannels")


def test_what_is_too_much_is_dropped(
    valkey: Valkey, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = threading.Event()
    monkeypatch.setattr(courier, "_send_all", stays.wait)
    made = dispatcher(valkey)
    try:
        for _ in range(events.MOST + 10):
            made.send("worker-heartbeat", freq=5)
        assert len(courier._waiting) == events.MOST
    finally:
        stays.set()


def test_events_that_are_off_are_handed_to_nobody(valkey: Valkey, courier: Courier) -> None:
    made = make_app(valkey.broker)
    made.events_cls = "workers.telling.events:Events"
    quiet = made.events.Dispatcher(hostname="w@host", enabled=False)
    quiet.send("task-received", uuid="1")
    assert courier._thread is None
