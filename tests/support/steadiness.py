"""Whether workers went on as if nothing had been: with the processes that they had."""

from __future__ import annotations

import os
import subprocess

import psutil

from icfqueue.ledger.record import State
from support.killable_cluster import KillableCluster
from support.killable_worker import KillableWorker

Started = list[tuple[KillableWorker, set[tuple[int, float]]]]
"""Workers, and Celery's processes in each."""


def processes(worker: KillableWorker) -> set[tuple[int, float]]:
    """Return Celery's processes, so that none of another time is taken for one of them."""
    found = set()
    for one in psutil.Process(worker.process.pid).children(recursive=True):
        try:
            if "workers" in one.cmdline():
                found.add((one.pid, one.create_time()))
        except psutil.NoSuchProcess:
            continue
    return found


def start_workers(cluster: KillableCluster, count: int = 2, **env: str) -> Started:
    """Start workers of one process each, and return them with Celery's processes."""
    workers = [cluster.start_worker(1, **env) for _ in range(count)]
    cluster.wait(lambda: len(cluster.ledger.workers()) == count, 30, "workers live")
    cluster.wait(lambda: all(len(processes(one)) == 2 for one in workers), 30, "children")
    return [(one, processes(one)) for one in workers]


def check_it_goes_on(
    cluster: KillableCluster, before: Started, count: int, seconds: float = 60
) -> None:
    """Fail unless `count` visits are done, uncharged, by the processes of before."""
    cluster.wait_drained(seconds)
    assert cluster.counts() == {State.DONE: count}, cluster.explain()
    for record in cluster.records():
        charged = [step for step in record.steps if step.crashes or step.faults]
        assert not charged, (record, cluster.explain())
    for worker, found in before:
        assert worker.process.poll() is None, cluster.explain()
        assert found == processes(worker), cluster.explain()
    cluster.check_no_traceback()


def output(cluster: KillableCluster, *words: str) -> tuple[int, str]:
    """Run ``icfqueue <words>``; return its exit code and all that it printed."""
    done = subprocess.run(
        cluster._command(*words),
        env={**os.environ, **cluster.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout
