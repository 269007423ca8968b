"""Celery's consumer waits for a broker that is away or refuses, and listens to nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from support.impostor import IMPOSTORS, Impostor
from support.valkey import Valkey

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.refusals import BrokerRefuses, Outage
from workers import consumer, pulse
from workers.consumer import PAUSES, Consumer
from workers.context import WorkerContext
from workers.telling.events import HEARTBEAT


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, of which none pass; beats are left out."""
    found: list[float] = []
    clock = SimpleNamespace(now=1000.0)

    def sleep(seconds: float) -> None:
        found.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(
        consumer, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now)
    )
    return found


@pytest.fixture
def bare(worker: WorkerContext) -> Consumer:
    """A consumer without Celery's worker around it."""
    assert worker
    made = Consumer.__new__(Consumer)
    made._outage = Outage("worker")
    made._failures = 0
    made._connected_at = 0.0
    return made


def test_a_broker_that_refuses_is_tried_again_with_growing_pauses(
    bare: Consumer, waits: list[float], valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long; and it shows that it lives."""
    beats: list[bytes] = []
    monkeypatch.setattr(pulse, "beat", beats.append)
    refusals = iter([BrokerRefuses("OOM", "command not allowed")] * 12)

    def refuse(_: object) -> None:
        if error := next(refusals, None):
            raise error

    monkeypatch.setattr(consumer, "try_to_write", refuse)
    with make_app(valkey.broker).connection_for_read() as conn:
        assert bare.ensure_connected(conn) is conn
    assert sum(waits) == pytest.approx(sum(PAUSES) + 7 * PAUSES[-1])
    assert max(waits) <= 0.5
    assert set(beats) == {pulse.WAITING}
    assert bare._outage.since is None


def test_a_broker_that_is_away_is_waited_for(
    bare: Consumer, waits: list[float], valkey: Valkey
) -> None:
    tries = iter([redis.ConnectionError("away"), OSError("away"), None])

    def connect(**_: object) -> None:
        if error := next(tries):
            raise error

    conn: Any = SimpleNamespace(
        ensure_connection=connect, connection_errors=(redis.ConnectionError, OSError)
    )
    assert valkey
    assert bare.ensure_connected(conn) is conn
    assert waits


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_another_kind_of_server_is_waited_out_with_one_line(
    kind: str,
    bare: Consumer,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The port may be wrong for a while; a worker that restarts each second is no help."""

    def stop_at_last() -> None:
        if len(waits) >= 10:
            raise SystemExit

    monkeypatch.setattr(consumer, "maybe_shutdown", stop_at_last)
    with (
        Impostor(*IMPOSTORS[kind]) as other,
        make_app(other.broker).connection_for_read() as conn,
        caplog.at_level("WARNING"),
        pytest.raises(SystemExit),
    ):
        bare.ensure_connected(conn)
    (line,) = caplog.messages
    assert "for the worker the broker is no Redis or Valkey server; does --broker" in line
    assert bare._failures >= 4


def test_what_nobody_foresaw_is_no_absence_of_the_broker(
    bare: Consumer, waits: list[float]
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    conn: Any = SimpleNamespace(ensure_connection=fail, connection_errors=(OSError,))
    with pytest.raises(ZeroDivisionError):
        bare.ensure_connected(conn)
    assert not waits


def test_a_worker_that_is_to_stop_does_not_wait(
    bare: Consumer, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise SystemExit

    monkeypatch.setattr(consumer, "maybe_shutdown", stop)
    with pytest.raises(SystemExit):
        bare._wait(redis.ConnectionError("away"))
    assert not waits


def test_it_has_no_ear_for_other_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gossip, mingling and heartbeats are off however Celery was started."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        consumer.CeleryConsumer, "__init__", lambda _, **options: seen.update(options)
    )
    Consumer(worker_options={"without_gossip": False, "other": 1})
    assert seen["worker_options"] == {
        "without_gossip": True,
        "without_mingle": True,
        "without_heartbeat": True,
        "heartbeat_interval": HEARTBEAT,
        "other": 1,
    }
    # Celery's own tools take a worker for gone that never says that it is there.
    Consumer(task_events=True)
    assert seen["worker_options"]["without_heartbeat"] is False
