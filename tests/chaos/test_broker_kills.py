"""A broker that dies and comes back with its data loses no visit and no status."""

from __future__ import annotations

import random
import time

from support.chaos_project import LONG
from support.event_log import overlaps, trespasses
from support.killable_cluster import KillableCluster, Sleeper

from icfqueue.ledger.record import State

KILLS = 30 if LONG else 10


def test_forty_visits_survive_the_death_of_the_broker(
    cluster: KillableCluster, expected: dict[str, str], rng: random.Random
) -> None:
    """Workers wait and go on; what was being done is not done again by another."""
    cluster.env["ICFQUEUE_LEASE"] = "3"
    for _ in range(2):
        cluster.start_worker(2)
    cluster.enqueue("--remote")
    for _ in range(KILLS):
        cluster.wait_for_some_step(rng, among=8)
        cluster.server.kill()
        time.sleep(rng.uniform(0.0, 1.0 if LONG else 0.2))
        cluster.server.start()
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)
    assert not list(trespasses(cluster.events))
    assert not list(overlaps(cluster.events))
    cluster.print_report(f"broker killed {KILLS} times")


def test_forty_visits_survive_dying_sleeping_workers_and_a_dying_broker(
    cluster: KillableCluster, expected: dict[str, str], rng: random.Random
) -> None:
    """All three at once; who wakes up after its lease publishes nothing."""
    for _ in range(3):
        cluster.start_worker()
    cluster.enqueue("--remote")
    rounds = 60 if LONG else 6
    asleep: list[Sleeper] = []
    done = {"kill": 0, "stop": 0, "broker": 0}
    for turn in range(rounds):
        cluster.wait_for_some_step(rng, among=10)
        deed = ("kill", "stop", "broker")[turn % 3]
        done[deed] += 1
        if deed == "broker":
            cluster.server.kill()
            cluster.server.start()
        elif deed == "kill":
            cluster.kill(rng.choice(cluster.workers))
        else:
            sleeper = rng.choice([w for w in cluster.workers if not w.frozen])
            sleeper.freeze()
            asleep.append((time.monotonic() + 3.5, sleeper))
        asleep = cluster.thaw_due(asleep)
        if sum(not worker.frozen for worker in cluster.workers) < 3:
            cluster.start_worker()
    while asleep:
        time.sleep(0.1)
        asleep = cluster.thaw_due(asleep)
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    # A sleeper may have left a scratch folder that it still cleans up now.
    cluster.wait(lambda: not cluster.any_step_runs(), 10, "all workers are idle")
    cluster.check_equals(expected)
    assert not list(trespasses(cluster.events))
    cluster.print_report(f"{done}")
