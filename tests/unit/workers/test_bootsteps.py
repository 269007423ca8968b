"""What a worker's main process does beside Celery's own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from support.waiting import wait_until

from icfqueue.pipeline.heartbeat import LAST_WORD
from icfqueue.pipeline.supervisor import Supervisor
from workers import bootsteps, context
from workers.bootsteps import OneAtHand, Supervision
from workers.context import WorkerContext


@pytest.fixture
def supervision(worker: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> Supervision:
    """The step of a worker that was not started yet."""
    assert worker
    monkeypatch.setattr(bootsteps, "supervision_ends", threading.Event())
    monkeypatch.setattr(bootsteps, "_mind_the_end", lambda: None)
    monkeypatch.setattr("icfqueue.pipeline.supervisor.TICK", 0.01)
    return Supervision(PARENT)


PARENT = SimpleNamespace(
    concurrency=2,
    app=SimpleNamespace(
        amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"fetch": None}))
    ),
)
"""What is asked of Celery's worker."""


def test_the_supervisor_looks_in_a_thread_until_the_worker_stops(
    supervision: Supervision, worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(Supervisor, "look", lambda _: looks.append("look"))
    supervision.start(PARENT)
    thread = supervision.thread
    assert thread is not None
    wait_until(lambda: len(looks) > 2, 20, "it looks")
    assert worker.quick.workers() == [worker.name]
    # Celery starts its steps again after a loss of the broker; one thread is enough.
    supervision.start(PARENT)
    assert supervision.thread is thread
    wait_until(worker.quick.roster.signs, 30, "it tells that it lives")
    assert [sign.queues for sign in worker.quick.roster.signs()] == [("fetch",)]
    supervision.stop(None)
    assert not thread.is_alive()
    assert worker.quick.roster.signs() == []
    # And the next one may take over at once.
    assert worker.quick.locks.take("supervisor", "another", 1.0)


def test_it_begins_when_the_pool_is_up() -> None:
    """A process forked while a thread imports a module would inherit the import's lock."""
    assert Supervision.requires == ("celery.worker.components:Pool",)


def test_a_worker_holds_one_message_more_than_it_has_processes() -> None:
    parent = SimpleNamespace(initial_prefetch_count=4)
    OneAtHand(parent)
    assert parent.initial_prefetch_count == 5


Mind = Callable[..., list[str]]


@pytest.fixture
def mind(worker: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> Mind:
    """Return what minds the end for some looks; the signals that were sent."""
    assert worker

    def run(*, looks: int, orphan_from: int | None = None) -> list[str]:
        sent: list[str] = []
        left = iter(range(looks))

        def sleep(_: float) -> None:
            if next(left, None) is None:
                raise StopIteration

        count = iter(range(looks + 1))

        def parent() -> int:
            orphan = orphan_from is not None and next(count) >= orphan_from
            return 1 if orphan else os.getpid()

        monkeypatch.setenv(bootsteps.PARENT_VARIABLE, str(os.getpid()))
        monkeypatch.setattr(bootsteps.time, "sleep", sleep)
        monkeypatch.setattr(bootsteps.os, "getppid", parent)
        kill = lambda _, number: sent.append(signal.Signals(number).name)  # noqa: E731 - two names for it
        monkeypatch.setattr(bootsteps.os, "kill", kill)
        monkeypatch.setattr(bootsteps.os, "killpg", kill)
        with pytest.raises(StopIteration):
            bootsteps._mind_the_end()
        return sent

    return run


def test_while_its_parent_lives_and_time_is_left_nothing_happens(mind: Mind) -> None:
    assert mind(looks=3) == []
    assert context.stop_since() is None


def test_without_its_parent_it_stops_once(mind: Mind) -> None:
    assert mind(looks=5, orphan_from=2) == ["SIGTERM"]
    assert context.stop_since() is not None


def test_at_the_end_of_its_time_it_stops_once(
    mind: Mind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bootsteps.STOP_AT_VARIABLE, str(time.time() - 1))
    assert mind(looks=4) == ["SIGTERM"]


def test_without_parent_or_end_it_minds_nothing(
    mind: Mind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under ``celery -A workers worker``."""
    monkeypatch.setattr(bootsteps, "PARENT_VARIABLE", "ICFQUEUE_NOT_SET")
    monkeypatch.delenv("ICFQUEUE_NOT_SET", raising=False)
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)
    assert mind(looks=3, orphan_from=0) == []


def test_an_orphan_that_does_not_end_is_killed_with_its_group(
    mind: Mind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that looks for a broker that is away; nobody else could end it."""
    monkeypatch.setattr(bootsteps, "_LAST_RESORT", -1.0)
    assert mind(looks=3, orphan_from=0) == ["SIGTERM", "SIGKILL", "SIGKILL"]


def test_the_last_resort_comes_after_grace_and_last_word() -> None:
    grace = context.settings.load().grace
    assert grace + LAST_WORD < bootsteps._LAST_RESORT
