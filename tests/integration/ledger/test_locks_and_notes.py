"""Locks and notes, which end by themselves."""

from __future__ import annotations

from support.waiting import pass_time

from icfqueue.ledger.redis_ledger import RedisLedger


def test_a_lock_belongs_to_one_token_until_it_ends(ledger: RedisLedger) -> None:
    locks = ledger.locks
    assert locks.take("l", "a", 30.0)
    assert locks.take("l", "a", 600.0)
    assert not locks.take("l", "b", 30.0)
    locks.release("l", "b")
    pass_time(ledger.client, 500.0)
    assert not locks.take("l", "b", 30.0)
    pass_time(ledger.client, 101.0)
    assert locks.take("l", "b", 30.0)
    assert not locks.take("l", "a", 30.0)
    locks.release("l", "b")
    with locks.holding("l", 30.0) as mine, locks.holding("l", 30.0) as nobodys:
        assert mine
        assert nobodys is None
    assert locks.take("l", "c", 30.0)
    with locks.holding("l", 30.0, wait=0.15) as late:
        assert late is None


def test_notes_stand_for_their_time(ledger: RedisLedger) -> None:
    notes = ledger.notes
    assert (notes.get("n"), notes.ends_in("n")) == (None, 0.0)
    notes.put("n", "für immer")
    assert (notes.get("n"), notes.ends_in("n")) == ("für immer", 0.0)
    notes.put("n", "soon over", 600.0)
    assert 500.0 < notes.ends_in("n") <= 600.0
    pass_time(ledger.client, 500.0)
    assert notes.get("n") == "soon over"
    pass_time(ledger.client, 101.0)
    assert notes.get("n") is None
    notes.put("n", "x")
    notes.drop("n")
    assert notes.get("n") is None
