"""A Celery that has stopped and does not end is ended from outside, and comes back."""

from __future__ import annotations

import os
import signal

import psutil
from support.killable_cluster import KillableCluster
from support.steadiness import processes

from icfqueue.ledger.record import State


def test_a_worker_that_waits_for_a_child_that_never_ends_is_ended(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """Its main process is told to stop while a child is stuck; nobody else tells it."""
    worker = cluster.start_worker(1)
    cluster.wait(lambda: len(cluster.ledger.workers()) == 1, 60, "the worker lives")
    cluster.wait(lambda: len(processes(worker)) == 2, 60, "Celery and a child")
    (main,) = psutil.Process(worker.process.pid).children()
    (child,) = [one for one in main.children() if "workers" in one.cmdline()]
    os.kill(child.pid, signal.SIGSTOP)
    # As when Celery meets an error that it does not know.
    os.kill(main.pid, signal.SIGTERM)
    cluster.enqueue(*few)
    cluster.wait_drained(120)
    assert cluster.counts() == {State.DONE: len(few)}, cluster.explain()
    assert not main.is_running()
    assert not child.is_running()
    assert cluster.count_in_logs("hangs; it is ended") == 1
    cluster.check_equals(expected_few)
