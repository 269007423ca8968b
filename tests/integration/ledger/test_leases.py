"""Leases, and what is found by its time: orphans, waiting visits, lost messages."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.ledger import OPTIONS, VISIT, advance, check_indexes, claim, finish, put
from support.valkey import dump
from support.waiting import pass_time

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.steps import QUEUES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import RetryIn
from icfqueue.ledger.stored.turns import Counted


def test_a_lease_ends_in_the_servers_time_and_only_then_is_the_visit_an_orphan(
    ledger: RedisLedger,
) -> None:
    put(ledger)
    claim(ledger, lease=600.0)
    pass_time(ledger.client, 500.0)
    assert ledger.orphans() == []
    assert ledger.update(VISIT, record.orphaned, orphan=True) is None
    pass_time(ledger.client, 101.0)
    assert ledger.orphans() == [VISIT]
    changed = ledger.update(VISIT, record.orphaned, orphan=True)
    assert changed is not None
    assert changed.state == State.QUEUED
    assert ledger.orphans() == []
    check_indexes(ledger)


def test_an_owner_renews_its_lease_and_tells_its_progress(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger, lease=30.0)
    assert ledger.renew(VISIT, "t", 600.0, 5, 2)
    assert ledger.progress("p") == {"v": (5, 2)}
    pass_time(ledger.client, 500.0)
    assert ledger.orphans() == []
    assert not ledger.renew(VISIT, "other", 30.0)
    assert not ledger.renew(Visit("p", "none"), "t", 30.0)


def test_an_owner_that_is_late_still_holds_what_nobody_took(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger, lease=0.05)
    time.sleep(0.1)
    assert ledger.orphans() == [VISIT]
    assert ledger.renew(VISIT, "t", 30.0)
    assert ledger.orphans() == []
    assert ledger.update(VISIT, record.orphaned, orphan=True) is None


@pytest.mark.parametrize("how", ["orphaned", "cancelled", "forced"])
def test_an_owner_whose_lease_was_taken_away_cannot_renew_it(
    ledger: RedisLedger, how: str
) -> None:
    put(ledger)
    claim(ledger, lease=0.05)
    time.sleep(0.1)
    takes: dict[str, Callable[[Record], Record]] = {
        "orphaned": record.orphaned,
        "cancelled": lambda r: record.cancelled(r, 1.0),
        "forced": lambda r: record.enqueued(r, OPTIONS, 0, 1.0),
    }
    assert ledger.update(VISIT, takes[how], orphan=how == "orphaned")
    before = dump(ledger.client)
    assert not ledger.renew(VISIT, "t", 30.0, 9, 9)
    assert not ledger.renew(VISIT, "", 30.0)
    assert dump(ledger.client) == before


def wait(ledger: RedisLedger, visit: Visit, seconds: float) -> None:
    """Have a visit fail whose next attempt is in so many seconds."""
    put(ledger, visit)
    claim(ledger, visit)
    ledger.update(
        visit,
        lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(seconds), time.time()),
    )


def test_waiting_visits_are_due_at_their_time(ledger: RedisLedger) -> None:
    wait(ledger, Visit("p", "a"), -1.0)
    wait(ledger, Visit("p", "b"), 3600.0)
    assert ledger.due() == [Visit("p", "a")]


def test_visits_queued_for_long_are_known_with_their_queue(ledger: RedisLedger) -> None:
    running = Visit("p", "w")
    queued = put(ledger)
    put(ledger, running)
    claim(ledger, running)
    none = [f"no list {level}" for level in range(10)]
    assert ledger.turns.count("fetch", none, 60.0) == Counted([], 0)
    pass_time(ledger.client, 61.0)
    assert ledger.turns.count("fetch", none, 60.0) == Counted([VISIT], 0)
    ledger.turns.sent([queued])
    assert ledger.turns.count("fetch", none, 60.0) == Counted([], 0)
    advance(ledger, VISIT, UPDATE_CATALOG.name)
    pass_time(ledger.client, 61.0)
    assert all(ledger.turns.count(queue, none, 60.0).late == [] for queue in QUEUES)


def test_the_catalog_is_written_a_while_after_the_first_visit_is_ready(
    ledger: RedisLedger,
) -> None:
    put(ledger)
    advance(ledger, VISIT, UPDATE_CATALOG.name)
    assert ledger.ready("p", UPDATE_CATALOG.name) == [VISIT]
    time.sleep(0.1)
    assert ledger.flushes_due() == ["p"]
    ledger.delay_flush("p", 30.0)
    assert ledger.flushes_due() == []
    ledger.flush_now("p")
    assert ledger.flushes_due() == ["p"]
    assert not ledger.flushed("p", 30.0)
    assert ledger.flushes_due() == []
    claim(ledger)
    finish(ledger)
    assert ledger.flushed("p", 30.0)
    assert not ledger.client.exists(key("flush"))
    ledger.delay_flush("p", 0.0)
    assert ledger.flushes_due() == []


def test_workers_are_believed_for_a_while(ledger: RedisLedger) -> None:
    ledger.worker_lives("host:1")
    ledger.client.zadd(key("workers"), {"host:2": time.time() - 60})
    ledger.client.zadd(key("workers"), {"host:3": time.time() - 7200})
    assert ledger.workers() == ["host:1"]
    assert ledger.client.zcard(key("workers")) == 2
