"""The broker's data are lost altogether: the store tells what is done."""

from __future__ import annotations

from support.chaos_project import PROJECT
from support.event_log import at_work, trespasses
from support.killable_cluster import KillableCluster

from icfqueue.ledger.record import State


def test_a_flushed_broker_is_filled_again_from_the_store(
    cluster: KillableCluster, expected: dict[str, str]
) -> None:
    """In mid-run; what is whole is known as done again, the rest is enqueued."""
    cluster.start_worker(2)
    cluster.enqueue("--remote")
    cluster.wait(lambda: cluster.counts().get(State.DONE, 0) >= 10, 30, "some are done")
    cluster.server.broker.connect().flushall()
    cluster.wait(lambda: not at_work(cluster.events), 20, "the steps in flight have ended")
    assert not cluster.counts()
    cluster.command("reconcile", PROJECT)
    done = cluster.counts().get(State.DONE, 0)
    assert done >= 10
    cluster.enqueue("--remote")
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)
    assert not list(trespasses(cluster.events))
    cluster.print_report(f"{done} visits known again after the flush")
