"""What a worker takes off a queue on a real Valkey: messages of ours, and nothing else."""

from __future__ import annotations

from kombu import Connection
from support.in_process_queue import InProcessQueue

from icfqueue.broker.aside import notes
from icfqueue.core.visit import Visit

V = Visit("study_1", "v1")
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
