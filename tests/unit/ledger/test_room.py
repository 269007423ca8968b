"""Room promised to downloads, on a real Valkey: no more than there is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.valkey import Valkey
from support.waiting import pass_time

from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.room import RedisRoom, Room

# Room on the disk that is promised to downloads

TERA = 1 << 40
A, B, C = (Visit("p", name) for name in "abc")


@pytest.fixture
def room(ledger: RedisLedger) -> Room:
    return ledger.room


def test_no_more_is_promised_than_is_free(room: Room) -> None:
    assert room.promise(A, "t", 6 * TERA, 10 * TERA, 60.0) == (True, 0)
    assert room.promise(B, "t", 4 * TERA + 1, 10 * TERA, 60.0) == (False, 6 * TERA)
    assert room.promise(B, "t", 4 * TERA, 10 * TERA, 60.0) == (True, 6 * TERA)
    assert room.promise(C, "t", 1, 10 * TERA, 60.0) == (False, 10 * TERA)
    assert room.promise(C, "t", 0, -5, 60.0) == (True, 10 * TERA)


def test_a_promise_takes_the_place_of_the_visits_earlier_one(room: Room) -> None:
    assert room.promise(A, "t", 80, 100, 60.0).granted
    assert room.promise(A, "t", 90, 100, 60.0).granted
    assert room.promise(A, "next", 20, 100, 60.0).granted
    assert room.promised() == {"p/a": 20}


def test_a_promise_ends_with_its_holder(room: Room, ledger: RedisLedger) -> None:
    room.promise(A, "t", 80, 100, 30.0)
    room.promise(B, "t", 10, 100, 90.0)
    assert room.promise(C, "t", 80, 100, 30.0) == (False, 90)
    pass_time(ledger.client, 31.0)
    assert room.promise(C, "t", 80, 100, 30.0) == (True, 10)
    assert room.promised() == {"p/b": 10, "p/c": 80}


def test_a_promise_is_renewed_and_released_by_its_own_lease_alone(
    room: Room, ledger: RedisLedger
) -> None:
    room.promise(A, "t", 80, 100, 30.0)
    room.keep(A, "other", 5, 60.0)
    room.release(A, "other")
    assert room.promised() == {"p/a": 80}
    room.keep(A, "t", 60, 60.0)
    pass_time(ledger.client, 31.0)
    assert room.promise(B, "t", 50, 100, 30.0) == (False, 60)
    room.release(A, "t")
    room.release(A, "t")
    assert room.promise(B, "t", 50, 100, 30.0) == (True, 0)


def test_a_promise_that_was_swept_is_made_again_when_its_holder_is_back(
    room: Room, ledger: RedisLedger
) -> None:
    """The broker was away for longer than the lease, and nobody took the visit over."""
    room.promise(A, "t", 80, 100, 30.0)
    pass_time(ledger.client, 31.0)
    room.promise(B, "t", 10, 100, 30.0)
    room.keep(A, "t", 70, 30.0)
    assert room.promised() == {"p/a": 70, "p/b": 10}


def test_ten_who_ask_at_once_do_not_begin_where_one_fits(
    room: Room, valkey: Valkey
) -> None:
    def ask(number: int) -> bool:
        return RedisRoom(valkey.client()).promise(
            Visit("p", f"v{number}"), "t", 60, 100, 60.0
        )[0]

    with ThreadPoolExecutor(10) as pool:
        granted = list(pool.map(ask, range(10)))
    assert granted.count(True) == 1
    assert len(room.promised()) == 1


def test_promises_that_are_none_are_forgotten(room: Room, ledger: RedisLedger) -> None:
    assert room.promise(A, "t", 80, 100, 60.0).granted
    ledger.client.hset("icfqueue:room", mapping={"x": "y", "z": "1 x t"})
    assert room.promised() == {"p/a": 80}
    assert room.promise(B, "t", 20, 100, 60.0) == (True, 80)
    ledger.client.set("icfqueue:room", "x")
    assert room.promised() == {}
    ledger.client.set("icfqueue:room", "x")
    room.keep(A, "t", 60, 60.0)
    assert room.promised() == {"p/a": 60}
    ledger.client.set("icfqueue:room", "x")
    room.release(A, "t")
    assert room.promise(B, "t", 100, 100, 60.0) == (True, 0)
