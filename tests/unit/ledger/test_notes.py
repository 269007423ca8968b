"""Notes on a real Valkey: for all workers, for good or for a while."""

from __future__ import annotations

from support.valkey import Valkey
from support.waiting import pass_time

from icfqueue.ledger.redis_ledger import RedisLedger


def test_a_note_stands_for_good_unless_a_time_is_given(ledger: RedisLedger) -> None:
    ledger.notes.put("n", "für immer")
    pass_time(ledger.client, 1e9)
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == ("für immer", 0.0)


def test_a_note_ends_at_its_time(ledger: RedisLedger) -> None:
    ledger.notes.put("n", "soon over", 600.0)
    assert 500.0 < ledger.notes.ends_in("n") <= 600.0
    pass_time(ledger.client, 500.0)
    assert ledger.notes.get("n") == "soon over"
    pass_time(ledger.client, 101.0)
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == (None, 0.0)


def test_a_time_of_no_length_is_the_shortest_and_no_error(ledger: RedisLedger) -> None:
    """Redis refuses a time of zero milliseconds."""
    ledger.notes.put("n", "x", 0.0)
    assert ledger.notes.ends_in("n") <= 0.001


def test_a_new_note_takes_the_place_of_the_old_one_and_its_time(
    ledger: RedisLedger,
) -> None:
    ledger.notes.put("n", "old", 600.0)
    ledger.notes.put("n", "new")
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == ("new", 0.0)


def test_a_note_that_is_not_there_is_none_and_may_be_dropped(ledger: RedisLedger) -> None:
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == (None, 0.0)
    ledger.notes.drop("n")
    ledger.notes.put("n", "x")
    ledger.notes.drop("n")
    assert ledger.notes.get("n") is None


def test_a_counter_counts_on_while_it_is_used_and_is_then_forgotten(
    ledger: RedisLedger,
) -> None:
    for count in (1, 2, 3):
        assert ledger.notes.count_up("c", 600.0) == count
        pass_time(ledger.client, 500.0)
    pass_time(ledger.client, 101.0)
    assert ledger.notes.count_up("c", 600.0) == 1


def test_every_worker_sees_the_same_notes(valkey: Valkey, ledger: RedisLedger) -> None:
    ledger.notes.put("n", "x")
    assert ledger.notes.count_up("c", 60.0) == 1
    with valkey.client() as client:
        other = RedisLedger(client)
        assert other.notes.get("n") == "x"
        assert other.notes.count_up("c", 60.0) == 2


def test_a_note_without_an_end_that_must_have_one_gets_the_usual_one(
    ledger: RedisLedger,
) -> None:
    ledger.notes.put("n", "of a stranger")
    assert ledger.notes.ends_in("n", 30.0, 600.0) == 30.0
    assert 29.0 < ledger.notes.ends_in("n") <= 30.0


def test_a_note_whose_end_is_too_far_is_cut_and_a_nearer_one_is_not(
    ledger: RedisLedger,
) -> None:
    ledger.notes.put("n", "for years", 1e9)
    assert ledger.notes.ends_in("n", 30.0, 600.0) == 600.0
    ledger.notes.put("n", "long", 500.0)
    assert 499.0 < ledger.notes.ends_in("n", 30.0, 600.0) <= 500.0
    assert ledger.notes.ends_in("none", 30.0, 600.0) == 0.0


def test_a_note_that_means_nothing_is_dropped(ledger: RedisLedger) -> None:
    ledger.notes.put("n", "x")
    assert ledger.notes.read("n", lambda text: text if text != "x" else None) is None
    assert ledger.notes.get("n") is None


def test_a_counter_that_is_none_begins_anew(ledger: RedisLedger) -> None:
    ledger.notes.put("c", "x")
    assert ledger.notes.count_up("c", 60.0) == 1
    ledger.client.delete("icfqueue:c")
    ledger.client.rpush("icfqueue:c", "x")
    assert ledger.notes.get("c") is None
    ledger.client.rpush("icfqueue:c", "x")
    assert ledger.notes.count_up("c", 60.0) == 1
