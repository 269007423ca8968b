"""What a worker takes off a queue on a real Valkey: messages of ours, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport import redis as kombu_redis
from support.in_process_queue import InProcessQueue

from icfqueue.broker import transport
from icfqueue.broker.aside import notes
from icfqueue.broker.celery_app import LEVELS, SEPARATOR
from icfqueue.broker.refusals import BrokerRefuses
from icfqueue.broker.transport import PAUSES, Backend, Channel
from icfqueue.core.visit import Visit

V = Visit("study_1", "v1")
NAME = f"fetch{SEPARATOR}{LEVELS[-1]}"
REFUSES = BrokerRefuses("OOM", "no memory")
GARBAGE = ["no JSON", "[]", "{}", '{"body": 1}', "\x00\xff", "[" * 5000]


def drain(queue: InProcessQueue, seen: list[object]) -> None:
    """Take what lies in the queue ``fetch``, as a worker does."""
    connection: Connection
    with queue.app.connection_for_read() as connection:
        channel = connection.default_channel
        consumer = queue.app.amqp.TaskConsumer(
            channel, queues=[queue.app.amqp.queues["fetch"]]
        )
        consumer.on_message = lambda message: (seen.append(message), message.ack())
        consumer.consume()
        for _ in range(len(GARBAGE) + 3):
            try:
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                return


def test_garbage_before_a_message_is_put_aside_and_the_message_comes(
    in_process_queue: InProcessQueue,
) -> None:
    taken: list[object] = []
    client = in_process_queue.ledger.client
    for raw in GARBAGE:
        client.lpush("fetch", raw)
    in_process_queue.enqueue([V])
    drain(in_process_queue, taken)
    assert len(taken) == 1
    assert client.llen("fetch") == 0
    count, found = notes(client)
    assert count == len(found) == len(GARBAGE)
    assert {note.queue for note in found} == {"fetch"}


@pytest.fixture
def channel(in_process_queue: InProcessQueue) -> Iterator[Channel]:
    with in_process_queue.app.connection_for_write() as connection:
        yield connection.default_channel


class Worker:
    """Takes messages off the queue ``fetch`` over a real connection."""

    def __init__(self, queue: InProcessQueue) -> None:
        self.queue = queue
        self.taken: list[Any] = []

    def take(self, count: int = 1) -> list[Any]:
        """Return the next messages; none of them is acknowledged, and all go back."""
        queues = [q for q in self.queue.app.conf.task_queues if q.name == "fetch"]
        with (
            self.queue.app.connection_for_read() as connection,
            connection.Consumer(queues, callbacks=[lambda _, m: self.taken.append(m)]),
        ):
            while len(self.taken) < count:
                connection.drain_events(timeout=20)
        return self.taken


def test_a_message_that_goes_back_is_the_first_to_be_taken_again(
    in_process_queue: InProcessQueue,
) -> None:
    """Its visit does not wait behind a whole project."""
    in_process_queue.enqueue([V, Visit("study_1", "w")])
    before = in_process_queue.ledger.client.lrange(NAME, -1, -1)
    (message,) = Worker(in_process_queue).take()
    assert in_process_queue.queues.depth("fetch") == 2
    after = in_process_queue.ledger.client.lrange(NAME, -1, -1)
    assert message.headers["id"] in after[0]
    assert message.headers["id"] in before[0]


def test_messages_that_cannot_go_back_are_let_go_of(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away takes none: the supervisor sends them again."""
    tried: list[object] = []

    def put_back(message: object) -> None:
        tried.append(message)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(channel, "put_back", put_back)
    held = transport.QoS(channel)
    for tag in ("a", "b", "c"):
        held._delivered[tag] = tag
    held.restore_unacked()
    assert len(tried) == 1
    assert not held._delivered


def test_there_are_no_tables_of_bindings(in_process_queue: InProcessQueue) -> None:
    """Into which somebody could write where a message goes."""
    in_process_queue.enqueue([V])
    assert not in_process_queue.ledger.client.keys("_kombu*")


def test_a_queue_is_bound_to_its_own_name(channel: Channel) -> None:
    assert channel.get_table("fetch") == [("fetch", "", "fetch")]


@pytest.mark.parametrize("refusals", [1, len(PAUSES)])
def test_a_broker_that_refuses_a_message_is_asked_again_after_a_pause(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    put = kombu_redis.Channel._put
    slept: list[float] = []
    left = [REFUSES] * refusals

    def refuse(*arguments: Any, **more: Any) -> Any:
        if left:
            raise left.pop()
        return put(*arguments, **more)

    monkeypatch.setattr(kombu_redis.Channel, "_put", refuse)
    monkeypatch.setattr(transport.time, "sleep", slept.append)
    in_process_queue.enqueue([V])
    assert in_process_queue.queues.depth("fetch") == 1
    assert slept == list(PAUSES[:refusals])


def test_one_that_refuses_for_long_is_an_error_in_the_end(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise REFUSES

    monkeypatch.setattr(kombu_redis.Channel, "_put", refuse)
    monkeypatch.setattr(transport.time, "sleep", lambda _: None)
    with pytest.raises(BrokerRefuses):
        channel._put("fetch", {})


def test_another_error_of_the_server_is_not_mended(channel: Channel) -> None:
    def fail() -> None:
        raise redis.ResponseError("ERR unknown command")

    with pytest.raises(redis.ResponseError, match="unknown"):
        channel._mended(fail)


@pytest.fixture
def backend(in_process_queue: InProcessQueue) -> Backend:
    found = in_process_queue.app.backend
    assert isinstance(found, Backend)
    return found


# Celery's own: it calls what redis-py has a newer name for.
@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
def test_a_result_is_written_over_whatever_is_there_and_ends(
    in_process_queue: InProcessQueue, backend: Backend
) -> None:
    client = in_process_queue.ledger.client
    name = backend.get_key_for_task("task").decode()
    client.set(name, b"\x80 no result")
    backend.store_result("task", "queued", "SUCCESS")
    assert backend.get_result("task") == "queued"
    assert 0 < client.ttl(name) <= in_process_queue.app.conf.result_expires


@pytest.mark.parametrize("error", [redis.ConnectionError("away"), REFUSES, OSError()])
def test_a_result_that_cannot_be_written_holds_no_step_up(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is a courtesy: the record is the truth."""
    tries: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        tries.append(arguments)
        raise error

    monkeypatch.setattr(backend, "_set_with_state", refuse)
    assert backend.store_result("task", "queued", "SUCCESS") == "queued"
    assert len(tries) == 1


def test_who_sends_waits_for_no_result(
    in_process_queue: InProcessQueue, backend: Backend
) -> None:
    """A connection that listens for each task would stay open."""
    before = in_process_queue.ledger.client.pubsub_channels()
    in_process_queue.enqueue([V])
    assert in_process_queue.ledger.client.pubsub_channels() == before
    backend.on_task_call(None, "task")
