"""Workers that die at any moment lose nothing, do nothing twice, leave nothing behind."""

from __future__ import annotations

import random

from support.killable_cluster import LONG, Farm, overlaps, trespasses

from icfqueue.ledger.record import State

KILLS = 100 if LONG else 30


def test_forty_visits_survive_the_death_of_thirty_workers(
    farm: Farm, expected: dict[str, str], rng: random.Random
) -> None:
    """All are done, byte for byte as undisturbed, and never two at one visit."""
    # A machine that is busy may be late by a second or two; that is no death.
    farm.env["ICFQUEUE_LEASE"] = "3"
    for _ in range(3):
        farm.start_worker()
    farm.enqueue("--remote")
    for _ in range(KILLS):
        farm.at_some_step(rng)
        farm.kill(rng.choice(farm.workers))
        farm.start_worker()
    farm.wait_drained(90)
    assert farm.counts() == {State.DONE: 40}, farm.dump()
    farm.check_equals(expected)
    assert not list(trespasses(farm.events))
    assert not list(overlaps(farm.events))
    farm.check_clean()
    farm.report(f"{KILLS} workers killed")
