"""Celery's ways to the broker: what goes over them, and what happens when they are shut."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from support.garbage import garbage, raw
from support.valkey import Valkey, out_of_memory

from icfqueue.broker import transport
from icfqueue.broker.aside import notes
from icfqueue.broker.celery_app import make_app
from icfqueue.broker.refusals import is_away, words


@pytest.fixture
def app(valkey: Valkey) -> Iterator[Celery]:
    made = make_app(valkey.broker)
    yield made
    made.close()


def taken(app: Celery, count: int, *, ack: bool = True) -> list[Any]:
    """Take messages as a worker does, until there are `count`, or none for a while."""
    found: list[Any] = []
    with app.connection_for_read() as connection:
        fetch = [one for one in app.conf.task_queues if one.name == "fetch"]

        def receive(_: object, message: Any) -> None:
            found.append(message)
            if ack:
                message.ack()

        with connection.Consumer(fetch, callbacks=[receive], accept=["json"]):
            while len(found) < count:
                try:
                    connection.drain_events(timeout=2)
                except TimeoutError:
                    break
    return found


def test_garbage_is_put_aside_and_the_next_message_is_taken(
    app: Celery, valkey: Valkey
) -> None:
    strange = garbage()
    with valkey.client() as client:
        client.lpush("fetch", *strange.values(), raw())
        (message,) = taken(app, 1)
        assert message.headers["task"] == "icfqueue.fetch"
        assert notes(client)[0] == len(strange)
        assert not client.exists("fetch", "unacked", "unacked_index")


def test_what_was_not_acknowledged_goes_back_to_where_it_is_taken_first(
    app: Celery, valkey: Valkey
) -> None:
    with valkey.client() as client:
        for name in ("first", "second"):
            client.lpush("fetch", raw(args=["study_1", name, 1]))
        taken(app, 1, ack=False)
        assert client.llen("fetch") == 2
        (again,) = taken(app, 1)
    assert again.headers["id"].startswith("study_1/first/fetch/1/")


def test_no_table_of_bindings_is_in_the_broker(app: Celery, valkey: Valkey) -> None:
    """Somebody could write into it."""
    app.send_task("icfqueue.fetch", args=["study_1", "v", 1], queue="fetch", priority=0)
    taken(app, 1)
    with valkey.client() as client:
        assert not client.keys("_kombu*")


def test_a_message_for_a_broker_that_refuses_is_sent_when_it_accepts_it(
    app: Celery, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it refused before."""
    refused = []

    def wait(_: float) -> None:
        refused.append(1)
        if len(refused) == 2 * len(transport.PAUSES):
            admin.config_set("maxmemory", 0)

    monkeypatch.setattr(transport.time, "sleep", wait)
    with valkey.client() as admin:
        with out_of_memory(admin):
            app.send_task(
                "icfqueue.fetch", args=["study_1", "v", 1], queue="fetch", priority=0
            )
        assert admin.llen("fetch") == 1
    assert len(refused) == 2 * len(transport.PAUSES)


def test_who_does_not_try_again_is_told_why(
    app: Celery, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PAUSES", ())
    with (
        valkey.client() as admin,
        out_of_memory(admin),
        pytest.raises(OperationalError) as found,
    ):
        app.send_task("icfqueue.fetch", queue="fetch", retry=False)
    assert is_away(found.value)
    assert words(found.value).found == "has no memory left"


def test_a_producer_that_lost_its_connection_gets_a_new_one(
    app: Celery, valkey: Valkey
) -> None:
    """It goes back to its pool as it is, and comes to the next who sends."""
    with app.producer_pool.acquire() as producer:
        producer.channel.close()
    app.send_task("icfqueue.fetch", args=["study_1", "v", 1], queue="fetch", priority=0)
    with valkey.client() as client:
        assert client.llen("fetch") == 1


def test_many_messages_go_in_batches(app: Celery, valkey: Valkey) -> None:
    """Kombu does so only if it knows that no batch is sent twice."""
    with valkey.client() as client:
        with app.producer_pool.acquire() as producer, producer.batch(100):
            for number in range(250):
                app.send_task(
                    "icfqueue.fetch",
                    args=["study_1", f"v{number}", 1],
                    queue="fetch",
                    priority=0,
                    producer=producer,
                )
                assert client.llen("fetch") == (number + 1) // 100 * 100
        assert client.llen("fetch") == 250


def test_a_result_is_kept_for_celerys_own_tools(app: Celery) -> None:
    app.backend.store_result("one", "done", "SUCCESS")
    assert app.AsyncResult("one").result == "done"


def test_a_result_that_cannot_be_written_is_nobodys_trouble(
    app: Celery, valkey: Valkey
) -> None:
    with valkey.client() as admin, out_of_memory(admin):
        app.backend.store_result("one", "done", "SUCCESS")
    assert app.AsyncResult("one").state == "PENDING"


def test_what_is_in_the_place_of_a_result_is_not_read(app: Celery, valkey: Valkey) -> None:
    """A stranger's text would be decoded, and an exception be made of it."""
    with valkey.client() as client:
        client.set("celery-task-meta-one", b"\xff no JSON")
        app.backend.store_result("one", "done", "SUCCESS")
        assert json.loads(client.get("celery-task-meta-one"))["result"] == "done"


def test_nobody_waits_for_results(app: Celery, valkey: Valkey) -> None:
    """Celery would listen for each message that is sent, for ever."""
    for _ in range(3):
        app.send_task("icfqueue.fetch", args=["study_1", "v", 1], queue="fetch")
    with valkey.client() as client:
        assert client.pubsub_numpat() == 0
        assert client.pubsub_channels() == []


def test_events_reach_who_listens_and_leave_no_key_behind(
    app: Celery, valkey: Valkey
) -> None:
    """As Flower does, whose broker's user may do nothing but listen."""
    heard: list[dict[str, Any]] = []

    def hear(event: dict[str, Any]) -> None:
        heard.append(event)
        receiver.should_stop = True

    def send() -> None:
        # Whoever has just begun to listen may not have heard the first.
        while not heard:
            sender.send("task-failed", uuid="one", exception="cut")
            time.sleep(0.05)

    with app.connection_for_read() as listening, app.connection_for_write() as sending:
        receiver = app.events.Receiver(listening, handlers={"task-failed": hear})
        sender = app.events.Dispatcher(sending, hostname="w@host")
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        receiver.capture(timeout=30)
        thread.join()
    assert (heard[0]["uuid"], heard[0]["exception"]) == ("one", "cut")
    with valkey.client() as client:
        assert client.keys() == []


def test_orders_to_workers_are_sent_to_nobody(app: Celery, valkey: Valkey) -> None:
    """They obey none; and a monitor that may not send them would try for ever."""
    with valkey.client() as client, client.pubsub() as listening:
        listening.psubscribe("*")
        assert listening.get_message(timeout=5)["type"] == "psubscribe"
        app.control.broadcast("shutdown")
        assert listening.get_message(timeout=0.2) is None
