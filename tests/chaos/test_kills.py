"""Workers that die at any moment lose nothing, do nothing twice, leave nothing behind."""

from __future__ import annotations

import random

from support.chaos_project import LONG
from support.event_log import overlaps, trespasses
from support.killable_cluster import KillableCluster

from icfqueue.ledger.record import State

KILLS = 100 if LONG else 30


def test_forty_visits_survive_the_death_of_thirty_workers(
    cluster: KillableCluster, expected: dict[str, str], rng: random.Random
) -> None:
    """All are done, byte for byte as undisturbed, and never two at one visit."""
    # A machine that is busy may be late by a second or two; that is no death.
    cluster.env["ICFQUEUE_LEASE"] = "3"
    for _ in range(3):
        cluster.start_worker()
    cluster.enqueue("--remote")
    for _ in range(KILLS):
        cluster.wait_for_some_step(rng)
        cluster.kill(rng.choice(cluster.workers))
        cluster.start_worker()
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)
    assert not list(trespasses(cluster.events))
    assert not list(overlaps(cluster.events))
    cluster.check_no_traceback()
    cluster.print_report(f"{KILLS} workers killed")
