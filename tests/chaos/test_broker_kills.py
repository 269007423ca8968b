"""A broker that dies and comes back with its data loses no visit and no status."""

from __future__ import annotations

import random
import time

from support.killable_cluster import LONG, Farm, Sleeper, overlaps, trespasses

from icfqueue.ledger.record import State

KILLS = 30 if LONG else 10


def test_forty_visits_survive_the_death_of_the_broker(
    farm: Farm, expected: dict[str, str], rng: random.Random
) -> None:
    """Workers wait and go on; what was being done is not done again by another."""
    farm.env["ICFQUEUE_LEASE"] = "3"
    for _ in range(2):
        farm.start_worker(2)
    farm.enqueue("--remote")
    for _ in range(KILLS):
        farm.at_some_step(rng, among=8)
        farm.server.kill()
        time.sleep(rng.uniform(0.0, 1.0 if LONG else 0.2))
        farm.server.start()
    farm.wait_drained(90)
    assert farm.counts() == {State.DONE: 40}, farm.dump()
    farm.check_equals(expected)
    assert not list(trespasses(farm.events))
    assert not list(overlaps(farm.events))
    farm.report(f"broker killed {KILLS} times")


def test_forty_visits_survive_dying_sleeping_workers_and_a_dying_broker(
    farm: Farm, expected: dict[str, str], rng: random.Random
) -> None:
    """All three at once; who wakes up after its lease publishes nothing."""
    for _ in range(3):
        farm.start_worker()
    farm.enqueue("--remote")
    rounds = 60 if LONG else 6
    asleep: list[Sleeper] = []
    done = {"kill": 0, "stop": 0, "broker": 0}
    for turn in range(rounds):
        farm.at_some_step(rng, among=10)
        deed = ("kill", "stop", "broker")[turn % 3]
        done[deed] += 1
        if deed == "broker":
            farm.server.kill()
            farm.server.start()
        elif deed == "kill":
            farm.kill(rng.choice(farm.workers))
        else:
            sleeper = rng.choice([w for w in farm.workers if not w.stopped])
            farm.freeze(sleeper)
            asleep.append((time.monotonic() + 3.5, sleeper))
        asleep = farm.wake(asleep)
        if sum(not worker.stopped for worker in farm.workers) < 3:
            farm.start_worker()
    while asleep:
        time.sleep(0.1)
        asleep = farm.wake(asleep)
    farm.wait_drained(90)
    assert farm.counts() == {State.DONE: 40}, farm.dump()
    # A sleeper may have left a scratch folder that it still cleans up now.
    farm.wait(lambda: not farm.busy(), 10, "all workers are idle")
    farm.check_equals(expected)
    assert not list(trespasses(farm.events))
    farm.report(f"{done}")
