"""A broker that is away or refuses: the worker waits, and shows that it lives."""

from __future__ import annotations

from typing import Any

import pytest

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
