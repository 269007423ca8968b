"""The broker's data are lost altogether: the store tells what is done."""

from __future__ import annotations

from support.killable_cluster import PROJECT, Farm, at_work, trespasses

from icfqueue.ledger.record import State


def test_a_flushed_broker_is_filled_again_from_the_store(
    farm: Farm, expected: dict[str, str]
) -> None:
    """In mid-run; what is whole is known as done again, the rest is enqueued."""
    farm.start_worker(2)
    farm.enqueue("--remote")
    farm.wait(lambda: farm.counts().get(State.DONE, 0) >= 10, 30, "some are done")
    farm.server.broker.connect().flushall()
    farm.wait(lambda: not at_work(farm.events), 20, "the steps in flight have ended")
    assert not farm.counts()
    farm.command("reconcile", PROJECT)
    done = farm.counts().get(State.DONE, 0)
    assert done >= 10
    farm.enqueue("--remote")
    farm.wait_drained(60)
    assert farm.counts() == {State.DONE: 40}, farm.dump()
    farm.check_equals(expected)
    assert not list(trespasses(farm.events))
    farm.report(f"{done} visits known again after the flush")
