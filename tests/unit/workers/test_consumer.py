"""A broker that is away or refuses: the worker waits, and shows that it lives."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

from icfqueue.broker.refusals import BrokerRefuses, Outage
from workers import consumer, pulse
from workers.consumer import Consumer


class Connection:
    """A broker that fails so often before it answers."""

    connection_errors = (ConnectionError,)

    def __init__(self, errors: list[Exception]) -> None:
        self.errors = errors

    def ensure_connection(self, **_: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were made, in seconds; none takes time."""
    made: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        made.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(consumer.time, "sleep", sleep)
    monkeypatch.setattr(consumer.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pulse, "_pipe", -1)
    return made


@pytest.fixture
def ours() -> Consumer:
    """A consumer without the rest of Celery around it."""
    made = Consumer.__new__(Consumer)
    made._outage = Outage("worker")
    made._failures = 0
    made._connected_at = 0.0
    made._try_broker = lambda: None
    return made


def test_it_waits_longer_each_time_and_then_goes_on(
    ours: Consumer, waits: list[float]
) -> None:
    errors: list[Exception] = [ConnectionRefusedError(), BrokerRefuses("OOM", "full")]
    connection = Connection([*errors, *errors])
    assert ours.ensure_connected(connection) is connection
    assert sum(waits) == pytest.approx(sum(consumer.PAUSES[:4]))
    # So that the parent feels it beat.
    assert max(waits) <= 0.5


def test_what_is_no_fault_of_the_broker_is_not_waited_for(
    ours: Consumer, waits: list[float]
) -> None:
    with pytest.raises(ZeroDivisionError):
        ours.ensure_connected(Connection([ZeroDivisionError()]))
    assert waits == []


def test_it_neither_listens_to_other_workers_nor_obeys_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, object] = {}

    def init(_: object, *__: object, worker_options: dict[str, object]) -> None:
        given.update(worker_options)

    monkeypatch.setattr(CeleryConsumer, "__init__", init)
    Consumer(worker_options={"x": 1})
    names = ("without_gossip", "without_mingle", "without_heartbeat")
    assert given == {"x": 1, **dict.fromkeys(names, True)}


def test_a_broker_that_is_there_and_refuses_what_is_written_is_waited_for(
    ours: Consumer, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [BrokerRefuses("READONLY", "a replica")] * 2

    def refuse() -> None:
        if left:
            raise left.pop()

    monkeypatch.setattr(ours, "_try_broker", refuse)
    ours.ensure_connected(Connection([]))
    assert sum(waits) == pytest.approx(sum(consumer.PAUSES[:2]))


def test_a_worker_that_is_to_stop_waits_no_longer(
    ours: Consumer, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pulse, "beat", lambda _: monkeypatch.setattr(state, "should_stop", 0)
    )
    with pytest.raises(WorkerShutdown):
        ours.ensure_connected(Connection([ConnectionRefusedError()] * 100))
    assert waits == []


def test_a_connection_that_lasted_lets_the_pauses_begin_anew(
    ours: Consumer, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        CeleryConsumer, "on_connection_error_after_connected", lambda *_: None
    )
    ours.ensure_connected(Connection([ConnectionRefusedError()] * len(consumer.PAUSES)))
    for lasted, pause in ((0.0, consumer.PAUSES[-1]), (consumer.LASTING + 1.0, 0.2)):
        waits.clear()
        ours._connected_at = consumer.time.monotonic() - lasted
        ours.on_connection_error_after_connected(ConnectionResetError())
        assert sum(waits) == pytest.approx(pause)
