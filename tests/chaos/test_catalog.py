"""A visit whose page takes down its worker is found among all that are gathered."""

from __future__ import annotations

import random

from support.chaos_project import PROJECT
from support.killable_cluster import KillableCluster

from icfqueue.core.processes import faultpoint
from icfqueue.ledger.record import State


def test_a_visit_that_takes_down_the_writer_of_its_batch_fails_alone(
    cluster: KillableCluster, few: list[str], rng: random.Random
) -> None:
    """As one whose page needs more memory than there is."""
    bad = rng.choice(few)
    fault = f"began {PROJECT}/{bad} update_catalog"
    cluster.env["ICFQUEUE_MAX_CRASHES"] = "2"
    cluster.command("enqueue", PROJECT, *few)
    cluster.start_worker(2, **{faultpoint.VARIABLE: fault})
    cluster.wait_drained(120)
    failed = [found.visit.id for found in cluster.records() if found.state == State.FAILED]
    assert failed == [bad], cluster.explain()
    assert cluster.counts() == {State.DONE: len(few) - 1, State.FAILED: 1}
    assert cluster.record(bad).steps[4].crashes == 2
    assert sum(found.steps[4].crashes for found in cluster.records()) == 2
