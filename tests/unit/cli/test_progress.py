"""``run`` follows its workers: what it shows, when it ends, how Ctrl-C stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from support.in_process_queue import InProcessQueue
from support.records import a_record, troubled_project
from support.valkey import out_of_memory

from icfqueue.cli import progress
from icfqueue.cli.live.asked import Asked
from icfqueue.cli.session import Session
from icfqueue.core.errors import Unreachable
from icfqueue.core.processes.ending import Ended
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations import status
from icfqueue.operations.status import summary

PROJECT = "study_1"
V, W = Visit(PROJECT, "v"), Visit(PROJECT, "w")


class Workers:
    """Stands in for the worker process: at each look something happens.

    Attributes
    ----------
    happens
        What the next looks bring; nothing more happens after them.
    """

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.happens = list(happens)
        self.process: object = None
        self.concurrency = 2
        self.gave_up = False
        self.log_path = "the log"
        self.calls: list[str] = []
        self.idle: Callable[[], bool] | None = None

    def start(self) -> None:
        self.calls.append("start")
        self.process = object()

    def look(self) -> None:
        if self.happens:
            self.happens.pop(0)()

    def stop(self, idle: Callable[[], bool] | None = None) -> None:
        self.idle = idle
        self.calls.append("stop" if idle is None else "stop when idle")

    def kill(self) -> None:
        self.calls.append("kill")


def run(opened: Session, workers: Workers) -> int:
    asked = Asked(opened.ledger, PROJECT)
    return progress.run_and_watch(opened, asked, workers)  # type: ignore[arg-type]  # what is used of them


def finish(ledger: RedisLedger, state: State) -> Callable[[], object]:
    """Return what lets the queued visit `V` end in `state`."""

    def write() -> None:
        entry = ledger.get(V)
        assert ledger.put_many([(entry, replace(a_record(state), visit=V))]) == [True]

    return write


@pytest.fixture
def queued(in_process_queue: InProcessQueue) -> RedisLedger:
    in_process_queue.enqueue([V])
    return in_process_queue.ledger


@pytest.mark.parametrize(("state", "code"), [(State.DONE, 0), (State.FAILED, 1)])
def test_it_works_until_nothing_is_left_and_tells_how_it_ended(
    opened: Session,
    queued: RedisLedger,
    capsys: pytest.CaptureFixture[str],
    state: State,
    code: int,
) -> None:
    workers = Workers(lambda: None, finish(queued, state))
    assert run(opened, workers) == code
    assert workers.calls == ["start", "stop when idle"]
    said = capsys.readouterr()
    assert f"study_1: 1 visit    1 {state.value}" in said.out.splitlines()
    assert ("1 visit, 3 DICOMs, " in said.out) is (state == State.DONE)
    assert ('member x, "y" is cut' in said.err) is (state == State.FAILED)


def test_a_worker_that_was_started_before_is_not_started_again(
    opened: Session, queued: RedisLedger
) -> None:
    workers = Workers(finish(queued, State.DONE))
    workers.start()
    run(opened, workers)
    assert workers.calls == ["start", "stop when idle"]


def test_where_nothing_is_to_be_done_no_worker_is_started(
    opened: Session, queued: RedisLedger
) -> None:
    finish(queued, State.DONE)()
    workers = Workers()
    assert run(opened, workers) == 0
    assert workers.calls == []


def test_a_run_of_some_visits_ends_with_them_and_answers_for_them(
    opened: Session, queued: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one has failed, and one more still waits in line."""
    failed = replace(a_record(State.FAILED), visit=W)
    other = replace(a_record(State.QUEUED), visit=Visit(PROJECT, "x"))
    queued.put_many([(None, failed), (None, other)])
    workers = Workers(lambda: None, finish(queued, State.DONE))
    asked = Asked(opened.ledger, PROJECT, [V], ["v"])
    code = progress.run_and_watch(opened, asked, workers)  # type: ignore[arg-type]  # the same
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "study_1: 1 visit    1 done"
    assert lines[1].startswith("  1 visit, 3 DICOMs, 100 bytes in ")
    assert lines[-1] == (
        "  1 visit that was not named is still to be done: `icfqueue run study_1`"
    )


def test_of_some_visits_the_commands_are_about_these(
    opened: Session, queued: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(a_record(State.FAILED), visit=W)
    queued.put_many([(None, other)])
    asked = Asked(opened.ledger, PROJECT, [V], ["v*"])
    workers = Workers(finish(queued, State.FAILED))
    assert progress.run_and_watch(opened, asked, workers) == 1  # type: ignore[arg-type]  # the same
    said = capsys.readouterr().err
    assert "  1 \u00d7 damaged, v: " in said
    assert "icfqueue retry study_1 'v*' --cause damaged && icfqueue run study_1" in said
    assert "list: icfqueue status study_1 'v*' --cause damaged" in said


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_stops_in_order_and_says_how_to_go_on(
    opened: Session, queued: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert queued
    workers = Workers(interrupt)
    assert run(opened, workers) == 130
    assert workers.calls == ["start", "stop"]
    said = capsys.readouterr().err
    assert "Stopping: what runs may finish" in said
    assert "Stopped with 0 of 1 visits done.\nTo go on: icfqueue run study_1" in said


def test_a_signal_that_the_broker_does_not_outlive_still_says_how_to_go_on(
    opened: Session,
    queued: RedisLedger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch system ends all that it knows."""
    assert queued

    def told() -> None:
        raise Ended(15)

    def away(_: Asked) -> None:
        raise redis.ConnectionError("away")

    workers = Workers(told)
    monkeypatch.setattr(Asked, "end", away)
    assert run(opened, workers) == 143
    assert workers.calls == ["start", "stop"]
    said = capsys.readouterr().err
    assert "To go on: icfqueue run study_1" in said
    assert "Stopped with" not in said


def test_a_second_ctrl_c_ends_at_once(
    opened: Session, queued: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queued
    workers = Workers(interrupt)
    monkeypatch.setattr(workers, "stop", lambda _: interrupt())
    assert run(opened, workers) == 130
    assert workers.calls == ["start", "kill"]


def test_workers_that_do_not_stay_up_end_it_with_their_log(
    opened: Session, queued: RedisLedger
) -> None:
    assert queued
    workers = Workers()
    workers.gave_up = True
    with pytest.raises(Unreachable, match="do not stay up") as caught:
        run(opened, workers)
    assert "the log" in caught.value.hint


def test_a_broker_that_is_away_for_a_moment_is_waited_for(
    opened: Session, queued: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counts(*_: Any) -> Any:
        asked.append(1)
        if len(asked) <= 2:
            raise redis.ConnectionError("away")
        return summary(queued, PROJECT)

    monkeypatch.setattr(status, "summary", counts)
    monkeypatch.setattr(progress.time, "sleep", lambda _: None)
    workers = Workers(lambda: None, finish(queued, State.DONE))
    monkeypatch.setattr(progress, "AWAY", -1.0)
    said: list[str] = []
    asked_for = Asked(opened.ledger, PROJECT)
    line = progress._look(opened, asked_for, workers, said.append)  # type: ignore[arg-type]  # the same
    assert (line.counts[State.DONE], len(asked)) == (1, 3)
    # It is said once, and that it is over.
    assert said == ["waiting: the broker does not answer", "the broker answers"]


def test_a_worker_is_idle_when_nothing_is_being_worked_on(
    opened: Session, in_process_queue: InProcessQueue
) -> None:
    """Then it need not be waited for: Celery takes two seconds to say good-bye."""
    in_process_queue.enqueue([V])
    workers = Workers(finish(in_process_queue.ledger, State.DONE))
    run(opened, workers)
    assert workers.idle is not None
    assert workers.idle()
    in_process_queue.enqueue([W])
    assert workers.idle()
    in_process_queue.hold(W)
    assert not workers.idle()


def test_what_the_broker_refuses_is_done_when_it_accepts_it(
    opened: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else goes wrong is not tried again."""
    tries = []
    monkeypatch.setattr(
        progress.time, "sleep", lambda _: opened.client.config_set("maxmemory", 0)
    )

    def do() -> str:
        tries.append(1)
        opened.client.set("icfqueue:test", "x")
        return "done"

    with out_of_memory(opened.client):
        assert progress.when_accepted(opened, do) == "done"
    assert len(tries) == 2
    assert "has no memory left" in capsys.readouterr().err

    def lose() -> None:
        raise redis.ConnectionError("lost")

    with pytest.raises(redis.ConnectionError, match="lost"):
        progress.when_accepted(opened, lose)


def test_visits_that_failed_alike_are_told_at_once_with_what_to_do(
    opened: Session, ledger: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.put_many([(None, found) for found in troubled_project()])
    assert run(opened, Workers()) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines() + said.err.splitlines()) <= 25
    assert "32 \u00d7 network, e.g. sub-0007: check network" in said.err
    command = "icfqueue retry study_1 --cause network && icfqueue run study_1"
    assert f"now: {command}" in said.err


def test_what_nobody_can_read_is_told_with_what_failed(
    opened: Session, queued: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not waited for; the exit code says so."""
    queued.client.hset(visit_key(V), "r", "{")
    assert run(opened, Workers()) == 1
    assert "1 \u00d7 unreadable, v: `icfqueue forget study_1 v`" in capsys.readouterr().err


def test_the_worker_of_a_run_is_quiet_and_gone_afterwards(
    opened: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[object] = []

    def kill(force: object) -> None:
        killed.append(force)

    monkeypatch.setattr(progress.WorkerProcess, "kill", kill)
    made = progress.workers_of(opened, 3)
    force = made.__enter__()
    assert (force.concurrency, force.quiet, force.broker) == (3, True, opened.broker)
    assert killed == []
    interrupted = KeyboardInterrupt()
    assert not made.__exit__(KeyboardInterrupt, interrupted, None)
    assert killed == [force]
