"""The ledger in Redis: what is written, compared, refused; on a real Valkey.

Many writers at once, restarts and lost answers: ``tests/integration/ledger``.
"""

from __future__ import annotations

import pytest
from support.valkey import Valkey, dump
from support.waiting import pass_time

from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.ledger import BATCH, Entry
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import SIGN_OF_LIFE, RedisLedger
from icfqueue.ledger.retry_policy import RetryIn

V, W = Visit("p", "v"), Visit("p", "w")
OPTIONS = Options("https://x")


def new(visit: Visit) -> Record:
    return record.new(visit, OPTIONS, 0, 1.0).with_size(10)


def claim(found: Record) -> Record:
    return record.claimed(found, "t", "host:1", 1.0)


@pytest.fixture
def filled(ledger: RedisLedger) -> RedisLedger:
    """Two visits are queued."""
    assert ledger.put_many([(None, new(V)), (None, new(W))]) == [True, True]
    return ledger


def test_what_was_written_is_read_again(filled: RedisLedger) -> None:
    assert filled.get(V) == Entry(new(V), "1")
    assert filled.get(Visit("p", "none")) is None
    found = list(filled.get_many([W, Visit("q", "none"), V]))
    assert [entry and entry.record.visit for entry in found] == [W, None, V]


def test_more_records_than_go_in_one_round_trip_keep_their_order(
    ledger: RedisLedger,
) -> None:
    visits = [Visit("p", f"v{number:04d}") for number in range(BATCH + 3)]
    assert all(ledger.put_many([(None, new(visit)) for visit in visits]))
    assert [e.record.visit for e in ledger.get_many(visits) if e] == visits
    assert ledger.visits("p") == visits


def test_who_writes_over_a_version_that_has_gone_is_refused(filled: RedisLedger) -> None:
    old = filled.get(V)
    assert old is not None
    assert filled.put_many([(old, claim(old.record))], lease=30.0) == [True]
    assert filled.put_many([(old, record.cancelled(old.record, 2.0))]) == [False]
    assert filled.put_many([(None, new(V))]) == [False]
    found = filled.get(V)
    assert found is not None
    assert (found.record.state, found.version) == (State.RUNNING, "2")


def test_a_change_that_is_none_or_raises_writes_nothing(filled: RedisLedger) -> None:
    before = dump(filled.client)

    def refuse(_: Record) -> Record:
        raise BadTarball("x")

    assert filled.update(V, lambda _: None) is None
    assert filled.update(Visit("p", "none"), claim) is None
    with pytest.raises(BadTarball):
        filled.update(V, refuse)
    assert dump(filled.client) == before


def test_a_change_is_made_again_from_what_somebody_wrote_meanwhile(
    filled: RedisLedger,
) -> None:
    seen = []

    def change(found: Record) -> Record:
        seen.append(found.priority)
        if len(seen) == 1:
            filled.update(V, lambda r: record.enqueued(r, OPTIONS, 3, 2.0))
        return claim(found)

    changed = filled.update_entry(V, change, lease=30.0)
    assert seen == [0, 3]
    assert changed is not None
    assert changed == filled.get(V)
    assert changed.record.generation == 2


def test_many_changes_are_made_each_for_itself(filled: RedisLedger) -> None:
    """One is left alone, one is unknown, one was changed since it was read."""
    known = [entry for entry in filled.get_many([V, W]) if entry]
    filled.update(V, lambda r: record.enqueued(r, OPTIONS, 3, 2.0))
    none = Visit("p", "none")
    changes = {V: claim, W: lambda _: None, none: claim}
    found = filled.update_many(changes, lease=30.0, known=known)
    assert list(found) == [V, W, none]
    assert (found[W], found[none]) == (None, None)
    assert found[V] == filled.get(V)
    assert found[V] is not None
    assert found[V].record.generation == 2


def test_an_orphan_is_changed_only_when_its_lease_has_run_out(filled: RedisLedger) -> None:
    filled.update(V, claim, lease=30.0)
    assert filled.update(V, record.orphaned, orphan=True) is None
    assert filled.orphans() == []
    pass_time(filled.client, 31.0)
    assert filled.orphans() == [V]
    changed = filled.update(V, record.orphaned, orphan=True)
    assert changed is not None
    assert changed.state == State.QUEUED
    assert filled.orphans() == []


def test_leases_are_renewed_all_or_none(filled: RedisLedger) -> None:
    for visit in (V, W):
        filled.update(visit, claim, lease=30.0)
    assert filled.renew_all({V: "t", W: "t"}, 600.0, 5, 2)
    assert filled.progress("p") == {"v": (5, 2), "w": (5, 2)}
    assert not filled.renew_all({V: "t", W: "wrong"}, 6000.0, 9, 9)
    assert not filled.renew(V, "", 6000.0)
    assert filled.progress("p")["v"] == (5, 2)
    pass_time(filled.client, 601.0)
    assert set(filled.orphans()) == {V, W}
    # Late, but nobody took it away.
    assert filled.renew(V, "t", 30.0)


def test_questions_are_answered_from_the_indexes(filled: RedisLedger) -> None:
    filled.update(V, claim, lease=30.0)
    filled.update(V, lambda r: record.finished(r, Outcome(worked=True), 2.0))
    filled.update(W, claim, lease=30.0)
    assert filled.projects() == ["p"]
    counts = filled.counts("p")
    assert (counts[State.QUEUED], counts[State.RUNNING], sum(counts.values())) == (1, 1, 2)
    assert filled.counts("q") == dict.fromkeys(State, 0)
    assert filled.visits("p", [State.RUNNING]) == [W]
    assert [found.visit for found in filled.records("p")] == [V, W]
    assert (filled.ready("p", "index_tar"), filled.ready_count("p", "fetch")) == ([V], 0)
    assert filled.running_count() == 1
    assert filled.totals("p")["tar_bytes"] == 20
    assert filled.totals("q") == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}


def test_what_waits_is_due_at_its_time(filled: RedisLedger) -> None:
    filled.update(V, claim, lease=30.0)
    now = filled.now()
    error = NetworkTrouble("x")
    filled.update(V, lambda r: record.failed(r, error, RetryIn(60.0), now))
    assert filled.due() == []
    pass_time(filled.client, 61.0)
    assert filled.due() == [V]
    assert filled.due(without=[V]) == []


def test_the_time_of_a_catalog_is_moved_and_forgotten(ledger: RedisLedger) -> None:
    found = new(V)
    while found.step != UPDATE_CATALOG.name:
        found = record.finished(claim(found), Outcome(worked=True), 2.0)
    ledger.put_many([(None, found)])
    ledger.delay_flush("p", 600.0)
    ledger.delay_flush("nobody", 0.0)
    assert ledger.flushes_due() == []
    ledger.flush_now("p")
    assert ledger.flushes_due() == ["p"]
    assert not ledger.flushed("p", 600.0)
    assert ledger.flushes_due() == []
    ledger.update(V, claim, lease=30.0)
    assert ledger.flushed("p", 600.0)
    assert not ledger.client.exists(key("flush"))


def test_a_worker_that_said_nothing_for_a_while_is_not_listed(ledger: RedisLedger) -> None:
    ledger.worker_lives("host:1")
    pass_time(ledger.client, SIGN_OF_LIFE + 1)
    ledger.worker_lives("host:2")
    assert ledger.workers() == ["host:2"]
    pass_time(ledger.client, 3600.0)
    assert ledger.workers() == []
    assert not ledger.client.zscore(key("workers"), "host:1")


def test_the_time_since_the_servers_start_is_known(
    valkey: Valkey, ledger: RedisLedger
) -> None:
    """Right after a start no lease is taken for one that ran out."""
    valkey.restart()
    assert 0.0 <= ledger.uptime() < 30.0


def test_no_key_of_a_record_expires(filled: RedisLedger) -> None:
    filled.update(V, claim, lease=30.0)
    names = list(filled.client.scan_iter("icfqueue:*"))
    assert names
    assert {filled.client.ttl(name) for name in names} == {-1}


# Clocks that are set


def test_a_lease_of_a_time_when_the_clock_was_ahead_does_not_last(
    filled: RedisLedger,
) -> None:
    """Its holder renews it every second; one that vanished is not waited for."""
    filled.update(V, claim, lease=30.0)
    filled.cut_leases(30.0)
    assert filled.client.zscore(key("leases"), str(V)) / 1000 > filled.now() + 25
    pass_time(filled.client, -3600.0)
    filled.cut_leases(30.0)
    pass_time(filled.client, 31.0)
    assert filled.orphans() == [V]


def test_a_lock_of_a_time_when_the_clock_was_ahead_does_not_last(
    ledger: RedisLedger,
) -> None:
    assert ledger.locks.take("supervisor", "vanished", 10.0)
    pass_time(ledger.client, -3600.0)
    assert not ledger.locks.take("supervisor", "next", 5.0, longest=10.0)
    pass_time(ledger.client, 11.0)
    assert ledger.locks.take("supervisor", "next", 5.0, longest=10.0)
    # Where nobody knows for how long it is taken, it is left alone.
    assert ledger.locks.take("catalog", "holder", 60.0)
    assert not ledger.locks.take("catalog", "other", 1.0)
    pass_time(ledger.client, 11.0)
    assert not ledger.locks.take("catalog", "other", 1.0)


def test_what_is_due_follows_a_clock_that_was_set_back(filled: RedisLedger) -> None:
    filled.update(V, claim, lease=30.0)
    filled.update(V, lambda r: record.postponed(r, None, filled.now() + 60.0))
    filled.flush_now("p")
    pass_time(filled.client, -3600.0)
    filled.shift_times(-3600.0)
    assert filled.due() == []
    assert filled.flushes_due() == ["p"]
    pass_time(filled.client, 61.0)
    assert filled.due() == [V]


def test_workers_are_alive_by_the_servers_clock(ledger: RedisLedger) -> None:
    """One of an older release, an hour ahead, that died does not live on."""
    ledger.worker_lives("host:1")
    now = ledger.now()
    ledger.client.zadd(key("workers"), {"ahead:1": now + 3590, "behind:1": now - 3590})
    assert ledger.workers() == ["host:1"]
    ledger.client.zadd(key("workers"), {"far:1": now + 7200})
    ledger.workers()
    assert ledger.client.zscore(key("workers"), "far:1") is None
