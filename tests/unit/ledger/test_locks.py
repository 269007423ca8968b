"""Locks on a real Valkey: held by a token, for so long, by nobody else."""

from __future__ import annotations

import threading

import pytest
from support.waiting import pass_time

from icfqueue.ledger.keys import key
from icfqueue.ledger.redis_ledger import RedisLedger


def test_a_lock_belongs_to_one_token_until_it_is_given_back(ledger: RedisLedger) -> None:
    assert ledger.locks.take("l", "mine", 30.0)
    assert not ledger.locks.take("l", "other", 30.0)
    ledger.locks.release("l", "mine")
    assert ledger.locks.take("l", "other", 30.0)


def test_nobody_gives_back_what_is_not_his(ledger: RedisLedger) -> None:
    assert ledger.locks.take("l", "mine", 30.0)
    ledger.locks.release("l", "other")
    assert not ledger.locks.take("l", "other", 30.0)


def test_a_lock_ends_by_itself_if_its_holder_vanishes(ledger: RedisLedger) -> None:
    assert ledger.locks.take("l", "mine", 30.0)
    pass_time(ledger.client, 29.0)
    assert not ledger.locks.take("l", "other", 30.0)
    pass_time(ledger.client, 2.0)
    assert ledger.locks.take("l", "other", 30.0)


@pytest.mark.parametrize("how", ["take", "renew"])
def test_its_holder_prolongs_it(ledger: RedisLedger, how: str) -> None:
    assert ledger.locks.take("l", "mine", 30.0)
    assert getattr(ledger.locks, how)("l", "mine", 600.0)
    pass_time(ledger.client, 500.0)
    assert not ledger.locks.take("l", "other", 30.0)


def test_a_lock_that_was_lost_is_not_renewed_even_if_it_is_free_again(
    ledger: RedisLedger,
) -> None:
    """Somebody else may have had it meanwhile."""
    assert ledger.locks.take("l", "mine", 30.0)
    pass_time(ledger.client, 31.0)
    assert not ledger.locks.renew("l", "mine", 30.0)
    assert not ledger.client.exists(key("lock", "l"))
    assert ledger.locks.take("l", "other", 30.0)
    assert not ledger.locks.renew("l", "mine", 30.0)
    assert ledger.locks.renew("l", "other", 30.0)


def test_locks_of_other_names_are_free(ledger: RedisLedger) -> None:
    assert ledger.locks.take("catalog:p", "mine", 30.0)
    assert ledger.locks.take("catalog:q", "other", 30.0)


def test_of_many_who_take_it_at_once_one_has_it(ledger: RedisLedger) -> None:
    got = []

    def take(token: str) -> None:
        got.append(ledger.locks.take("l", token, 30.0))

    threads = [threading.Thread(target=take, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_a_lock_is_held_for_the_length_of_a_block(ledger: RedisLedger) -> None:
    with ledger.locks.holding("l", 30.0) as mine, ledger.locks.holding("l", 30.0) as none:
        assert mine
        assert none is None
    assert ledger.locks.take("l", "other", 30.0)


def test_who_did_not_get_it_does_not_give_it_back(ledger: RedisLedger) -> None:
    assert ledger.locks.take("l", "other", 30.0)
    with ledger.locks.holding("l", 30.0) as token:
        assert token is None
    assert not ledger.locks.take("l", "third", 30.0)


def test_it_is_given_back_after_an_error_too(ledger: RedisLedger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.locks.holding("l", 30.0):
        raise ZeroDivisionError
    assert ledger.locks.take("l", "other", 30.0)


def test_its_holder_may_be_waited_for(ledger: RedisLedger) -> None:
    assert ledger.locks.take("l", "other", 600.0)
    timer = threading.Timer(0.15, ledger.locks.release, args=("l", "other"))
    timer.start()
    with ledger.locks.holding("l", 30.0, wait=60.0) as token:
        assert token
    timer.join()


def test_a_lock_without_an_end_gets_one(ledger: RedisLedger) -> None:
    """Nobody of us takes one without."""
    ledger.client.set("icfqueue:lock:l", "stranger")
    assert not ledger.locks.take("l", "mine", 20.0)
    assert 0 < ledger.client.pttl("icfqueue:lock:l") <= 20_000
    ledger.client.set("icfqueue:lock:l", "stranger")
    assert not ledger.locks.take("l", "mine", 20.0, longest=600.0)
    assert 0 < ledger.client.pttl("icfqueue:lock:l") <= 20_000


def test_what_is_no_lock_holds_nobody_up(ledger: RedisLedger) -> None:
    ledger.client.rpush("icfqueue:lock:l", "x")
    assert not ledger.locks.renew("l", "mine", 20.0)
    ledger.locks.release("l", "mine")
    assert ledger.locks.take("l", "mine", 20.0)
    assert not ledger.locks.take("l", "other", 20.0)
