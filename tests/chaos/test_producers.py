"""Producers at once, cancelling without workers, retrying what runs."""

from __future__ import annotations

import re
import time
from collections import Counter

from support.chaos_project import FEW, PROJECT
from support.event_log import events, trespasses
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State


def began(cluster: KillableCluster) -> Counter[tuple[str, ...]]:
    """Return how often each step of each visit was begun."""
    return Counter(e.words[1:] for e in events(cluster.events) if e.words[0] == "began")


def test_two_producers_at_once_enqueue_each_visit_once(
    cluster: KillableCluster, expected: dict[str, str]
) -> None:
    """Forty between them, and every step is begun exactly once."""
    both = [cluster.start_command("enqueue", PROJECT, "--remote") for _ in range(2)]
    for producer in both:
        assert producer.process.wait(30) == 0, producer.log.read_text()
    said = [re.search(r"(\d+) enqueued", producer.log.read_text()) for producer in both]
    assert sum(int(found[1]) for found in said if found) == 40
    cluster.start_worker(2)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    assert set(began(cluster).values()) == {1}
    assert len(began(cluster)) == 40 * 6
    cluster.check_equals(expected)


def test_cancelling_works_with_no_worker_online(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """A worker that comes later begins nothing; enqueued again, all are done."""
    cluster.enqueue(*few)
    cluster.command("cancel", PROJECT)
    assert cluster.counts() == {State.CANCELLED: FEW}
    cluster.start_worker(2)
    cluster.wait(
        lambda: cluster.count_in_logs("message.dropped") == FEW,
        20,
        "all messages are dropped",
    )
    assert not cluster.begun()
    cluster.enqueue(*few)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.check_equals(expected_few)


def test_what_runs_can_be_cancelled_and_retried_and_is_done_once(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """The first attempt is called off at its next safe point and publishes nothing."""
    victim = Visit(PROJECT, few[0])
    size = (web.root / victim.storepath).stat().st_size
    web.fail("slow", path=f"/{victim.storepath}", method="GET", rate=size // 60)
    cluster.start_worker(2)
    cluster.enqueue(victim.id)
    cluster.wait(lambda: cluster.begun() == 1, 20, "the slow download")
    cluster.command("retry", PROJECT)
    cluster.command("retry", PROJECT, victim.id)
    time.sleep(0.2)
    assert cluster.counts() == {State.RUNNING: 1}, "a visit that runs is left alone"
    cluster.command("cancel", PROJECT, victim.id)
    assert cluster.counts() == {State.CANCELLED: 1}
    cluster.command("retry", PROJECT, victim.id)
    cluster.enqueue(*few)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.wait(
        lambda: cluster.count_in_logs("step.withdrawn") == 1, 10, "the first has noticed"
    )
    cluster.check_equals(expected_few)
    assert not list(trespasses(cluster.events))
