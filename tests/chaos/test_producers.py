"""Producers at once, cancelling without workers, retrying what runs."""

from __future__ import annotations

import re
import time
from collections import Counter

from support.faulty_store import FaultyStore
from support.killable_cluster import FEW, PROJECT, Farm, events, trespasses

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State


def began(farm: Farm) -> Counter[tuple[str, ...]]:
    """Return how often each step of each visit was begun."""
    return Counter(e.words[1:] for e in events(farm.events) if e.words[0] == "began")


def test_two_producers_at_once_enqueue_each_visit_once(
    farm: Farm, expected: dict[str, str]
) -> None:
    """Forty between them, and every step is begun exactly once."""
    both = [farm.start_command("enqueue", PROJECT, "--remote") for _ in range(2)]
    for producer in both:
        assert producer.process.wait(30) == 0, producer.log.read_text()
    said = [re.search(r"(\d+) enqueued", producer.log.read_text()) for producer in both]
    assert sum(int(found[1]) for found in said if found) == 40
    farm.start_worker(2)
    farm.wait_drained(40)
    assert farm.counts() == {State.DONE: 40}, farm.dump()
    assert set(began(farm).values()) == {1}
    assert len(began(farm)) == 40 * 6
    farm.check_equals(expected)


def test_cancelling_works_with_no_worker_online(
    farm: Farm, few: list[str], expected_few: dict[str, str]
) -> None:
    """A worker that comes later begins nothing; enqueued again, all are done."""
    farm.enqueue(*few)
    farm.command("cancel", PROJECT)
    assert farm.counts() == {State.CANCELLED: FEW}
    farm.start_worker(2)
    farm.wait(lambda: farm.said("message.dropped") == FEW, 20, "all messages are dropped")
    assert not farm.begun()
    farm.enqueue(*few)
    farm.wait_drained(40)
    assert farm.counts() == {State.DONE: FEW}, farm.dump()
    farm.check_equals(expected_few)


def test_what_runs_can_be_cancelled_and_retried_and_is_done_once(
    farm: Farm, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """The first attempt is called off at its next safe point and publishes nothing."""
    victim = Visit(PROJECT, few[0])
    size = (web.root / victim.storepath).stat().st_size
    web.fail("slow", path=f"/{victim.storepath}", method="GET", rate=size // 60)
    farm.start_worker(2)
    farm.enqueue(victim.id)
    farm.wait(lambda: farm.begun() == 1, 20, "the slow download")
    farm.command("retry", PROJECT)
    farm.command("retry", PROJECT, victim.id)
    time.sleep(0.2)
    assert farm.counts() == {State.RUNNING: 1}, "a visit that runs is left alone"
    farm.command("cancel", PROJECT, victim.id)
    assert farm.counts() == {State.CANCELLED: 1}
    farm.command("retry", PROJECT, victim.id)
    farm.enqueue(*few)
    farm.wait_drained(40)
    assert farm.counts() == {State.DONE: FEW}, farm.dump()
    farm.wait(lambda: farm.said("step.withdrawn") == 1, 10, "the first has noticed")
    farm.check_equals(expected_few)
    assert not list(trespasses(farm.events))
