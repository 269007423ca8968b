"""Stopping in order, being killed in part, and going on: nothing is left running."""

from __future__ import annotations

import os
import random
import signal
import time

import psutil
from support.chaos_project import FEW, PROJECT
from support.event_log import trespasses
from support.faulty_store import Fault, FaultyStore
from support.killable_cluster import KillableCluster
from support.killable_worker import KillableWorker

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State


def celery(worker: KillableWorker) -> psutil.Process:
    """Return the main process of Celery below a command."""
    return psutil.Process(worker.process.pid).children()[0]


def slow(web: FaultyStore, name: str, seconds: float) -> Fault:
    """Have the tarball of a visit take so long to download, or until that is over."""
    path = f"/{Visit(PROJECT, name).storepath}"
    size = (web.root / path[1:]).stat().st_size
    return web.fail("slow", path=path, method="GET", rate=int(size / seconds))


def wait_gone(cluster: KillableCluster, worker: KillableWorker, seconds: float) -> None:
    """Wait until no process of `worker` is left, git and git-annex included."""
    cluster.wait(lambda: worker.process.poll() is not None, seconds, "it has ended")
    cluster.wait(lambda: not worker.pids(), seconds, "all that it started has ended")


def test_a_worker_that_is_asked_to_stop_finishes_or_gives_back(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """SIGTERM: no new step, no attempt counted for what does not end in time."""
    slow(web, few[0], 60)
    fault = slow(web, few[1], 60)
    worker = cluster.start_worker(2, ICFQUEUE_GRACE="2")
    cluster.enqueue(*few[:2])
    cluster.enqueue(*few)
    cluster.wait(lambda: cluster.begun() == 2 and fault.struck, 20, "two downloads")
    worker.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    cluster.wait(lambda: "Warm shutdown" in worker.log.read_text(), 10, "it stops")
    time.sleep(0.1)
    fault.over.set()
    wait_gone(cluster, worker, 20)
    assert worker.process.returncode == 0
    assert time.monotonic() - began < 20, "it waited for a download of a minute"
    assert cluster.begun() == 2
    given_back, finished = cluster.record(few[0]), cluster.record(few[1])
    assert (given_back.state, given_back.step) == (State.QUEUED, "fetch")
    assert given_back.steps[0].attempts == given_back.steps[0].faults == 0
    assert (finished.state, finished.step) == (State.QUEUED, "index_tar")
    assert cluster.counts() == {State.QUEUED: FEW}
    assert not list((cluster.root / PROJECT / ".icfqueue").glob("*/tmp-*"))
    assert not list(cluster.tmp.iterdir())

    web.clear()
    cluster.start_worker(2)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    assert cluster.record(few[0]).steps[0].attempts == 1
    cluster.check_equals(expected_few)
    cluster.check_no_traceback()


def test_ctrl_c_and_kill_of_run_leave_no_worker_and_run_goes_on(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """Ctrl-C says how to go on; the workers of a killed command stop by themselves."""
    slow(web, few[0], 30)
    first = cluster.start_command("run", PROJECT, *few, "--jobs", "2")
    cluster.wait(lambda: cluster.begun() > 8, 20, "some steps")
    first.process.send_signal(signal.SIGINT)
    wait_gone(cluster, first, 15)
    assert first.process.returncode == 130
    assert f"To go on: icfqueue run {PROJECT}" in first.log.read_text()
    assert State.RUNNING not in cluster.counts()

    slow(web, few[0], 30)
    second = cluster.start_command("run", PROJECT, *few, "--jobs", "2")
    begun = cluster.begun()
    cluster.wait(lambda: cluster.begun() > begun + 6, 20, "some more steps")
    second.process.kill()
    # The last resort kills after grace, last word and ten seconds: 21 here.
    wait_gone(cluster, second, 40)
    assert cluster.active()

    web.clear()
    cluster.command("run", PROJECT, *few, "--jobs", "2")
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.check_equals(expected_few)
    assert not list(trespasses(cluster.events))


def test_a_worker_replaces_what_dies_below_it(
    cluster: KillableCluster,
    rng: random.Random,
    few: list[str],
    expected_few: dict[str, str],
) -> None:
    """A child that is killed alone, then Celery's main process: both come back."""
    worker = cluster.start_worker(2)
    cluster.enqueue(*few)
    cluster.wait_for_some_step(rng)
    main = celery(worker)
    child = rng.choice(main.children())
    os.kill(child.pid, signal.SIGKILL)
    cluster.wait(lambda: child.pid not in worker.pids(), 10, "the child is gone")
    cluster.wait_for_some_step(rng)
    os.kill(main.pid, signal.SIGKILL)
    cluster.wait(lambda: main.pid not in worker.pids(), 10, "Celery is gone")
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    assert worker.process.poll() is None
    assert celery(worker).pid != main.pid
    assert "Celery worker ended" in worker.log.read_text()
    cluster.check_equals(expected_few)
    assert not list(trespasses(cluster.events))
