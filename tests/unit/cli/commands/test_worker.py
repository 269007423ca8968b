"""``icfqueue worker``: what kind of worker is started, and which broker is refused."""

from __future__ import annotations

import os
import time

import click
import pytest
from support.command_line import Commands
from support.valkey import Valkey, free_port

from icfqueue.core.errors import Unreachable, UsageError
from icfqueue.core.steps import QUEUES
from icfqueue.operations.worker_process import WorkerProcess


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """The workers that would have run; each ends with 7."""
    found: list[WorkerProcess] = []

    def run(force: WorkerProcess) -> int:
        found.append(force)
        return 7

    monkeypatch.setattr(WorkerProcess, "run", run)
    return found


def test_all_queues_and_cores_are_the_default(
    icfqueue: Commands, started: list[WorkerProcess]
) -> None:
    done = icfqueue("worker")
    (force,) = started
    assert done.code == 7
    assert force.concurrency == len(os.sched_getaffinity(0))
    assert force.queues == QUEUES
    assert (force.stop_at, force.loglevel, force.quiet) == (None, "info", False)
    assert force.settings.store_dir == icfqueue.store.root


def test_queues_time_and_log_can_be_chosen(
    icfqueue: Commands, started: list[WorkerProcess]
) -> None:
    icfqueue(
        *("worker", "--concurrency", "3", "--queues", "fetch,index"),
        *("--walltime", "4h", "--loglevel", "debug"),
    )
    (force,) = started
    assert (force.concurrency, force.queues) == (3, ("fetch", "index"))
    assert force.loglevel == "debug"
    assert force.stop_at is not None
    assert 3 * 3600 < force.stop_at - time.time() < 4 * 3600


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--queues", "fetsch"), UsageError),
        (("--walltime", "soon"), UsageError),
        (("--concurrency", "0"), click.BadParameter),
        (("--loglevel", "loud"), click.BadParameter),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    icfqueue: Commands,
    started: list[WorkerProcess],
    words: tuple[str, str],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        icfqueue("worker", *words)
    assert started == []


def test_a_broker_that_refuses_the_password_ends_it_and_one_that_is_away_does_not(
    icfqueue: Commands, started: list[WorkerProcess]
) -> None:
    """The first never gets better by waiting; the second is waited for."""
    where = ("worker", "--store-dir", str(icfqueue.store.root), "--broker")
    with Valkey(tcp=True, password="right") as server:
        wrong = f"redis://:hunter2@127.0.0.1:{server.port}/0"
        with pytest.raises(Unreachable, match="refuses the password") as caught:
            icfqueue.plain(*where, wrong)
        assert "hunter2" not in caught.value.message
    assert started == []
    icfqueue.plain(*where, f"redis://127.0.0.1:{free_port()}/0")
    assert len(started) == 1


def test_the_embedded_broker_is_the_workers_own_to_start(
    icfqueue: Commands, started: list[WorkerProcess]
) -> None:
    icfqueue.plain("worker", "--store-dir", str(icfqueue.store.root))
    assert started[0].settings.broker_url is None
    assert list(icfqueue.store.root.iterdir()) == []
