"""Whose turn it is, and how many messages are missing; on a real Valkey."""

from __future__ import annotations

from collections import Counter

import pytest
from support.ledger import OPTIONS, check_indexes, claim, finish, put
from support.waiting import pass_time

from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key, visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored.indexes import line_of, place_of
from icfqueue.ledger.stored.turns import TRIES, Counted, Place

AT_FETCH: Place = ("fetch", 9)
LISTS = [f"list {level}" for level in range(10)]


def enqueue(
    ledger: RedisLedger, project: str, count: int, priority: int = 0
) -> list[Visit]:
    visits = [Visit(project, f"v{number:03d}") for number in range(count)]
    new = [(None, record.new(visit, OPTIONS, priority, 1.0)) for visit in visits]
    assert all(ledger.put_many(new))
    return visits


def serve(ledger: RedisLedger, ticket: Visit, place: Place = AT_FETCH) -> Visit | None:
    """Claim whose turn it is for a ticket that names a visit."""
    for found in ledger.turns.served(place, ticket, 5.0):
        claimed = record.claimed(found.record, "t", "host:1", 1.0)
        if ledger.replace(found, claimed, lease=30.0):
            return found.record.visit
    return None


def test_a_project_alone_is_served_in_the_order_of_its_messages(
    ledger: RedisLedger,
) -> None:
    visits = enqueue(ledger, "p", 20)
    assert [serve(ledger, visit) for visit in visits] == visits
    assert serve(ledger, visits[0]) is None
    check_indexes(ledger)


def test_projects_take_turns_however_their_messages_lie(ledger: RedisLedger) -> None:
    """A hundred of one project come first in the list; the others do not wait for them."""
    tickets = [
        v for p, n in (("big", 100), ("b", 5), ("c", 5)) for v in enqueue(ledger, p, n)
    ]
    served = [serve(ledger, ticket) for ticket in tickets]
    first = Counter(visit.project for visit in served[:15] if visit)
    assert first == {"big": 5, "b": 5, "c": 5}
    assert sorted(filter(None, served)) == sorted(tickets)


def test_who_comes_later_is_served_next_and_then_in_turn(ledger: RedisLedger) -> None:
    big = enqueue(ledger, "big", 10)
    assert [serve(ledger, ticket) for ticket in big[:4]] == big[:4]
    late = enqueue(ledger, "late", 3)
    found = [serve(ledger, ticket) for ticket in big[4:]]
    assert [v.project for v in found if v] == ["late", "big"] * 3
    # Its own messages serve those whose messages were used.
    assert {serve(ledger, ticket) for ticket in late} == set(big) - {*big[:4], *found}


def test_turns_are_for_each_urgency_and_queue(ledger: RedisLedger) -> None:
    enqueue(ledger, "p", 1)
    (urgent,) = enqueue(ledger, "q", 1, priority=4)
    assert serve(ledger, Visit("p", "v000"), ("index", 9)) is None
    assert serve(ledger, Visit("p", "v000"), ("fetch", 5)) == urgent
    finish(ledger, urgent)
    assert serve(ledger, urgent) == Visit("p", "v000")
    assert serve(ledger, urgent, ("index", 0)) == urgent


def test_one_whose_message_was_lost_is_served_by_the_next(ledger: RedisLedger) -> None:
    """It has waited much longer than the visit that the message names."""
    (lost,) = enqueue(ledger, "p", 1)
    pass_time(ledger.client, 10.0)
    later = Visit("p", "w")
    put(ledger, later)
    assert serve(ledger, later) == lost
    assert serve(ledger, later) == later


def test_two_who_ask_at_once_get_two(ledger: RedisLedger) -> None:
    enqueue(ledger, "p", 3)
    stale = Visit("p", "gone")
    first = next(ledger.turns.served(AT_FETCH, stale, 5.0))
    second = next(ledger.turns.served(AT_FETCH, stale, 5.0))
    assert first.record.visit != second.record.visit


def test_a_visit_that_an_older_worker_queued_is_served_by_its_own_message(
    ledger: RedisLedger,
) -> None:
    """It stands in no line, and others are in turn: without it, nobody would serve it."""
    enqueue(ledger, "other", 1)
    (own,) = enqueue(ledger, "p", 1)
    ledger.client.zrem(line_of(AT_FETCH, "p"), own.id)
    assert serve(ledger, own) == own


def test_what_an_older_worker_left_in_line_is_taken_out(ledger: RedisLedger) -> None:
    """One claimed, one done, one forgotten, one not to be read, one that is no visit."""
    visits = enqueue(ledger, "p", 5)
    claim(ledger, visits[0])
    claim(ledger, visits[1])
    finish(ledger, visits[1])
    ledger.client.delete(visit_key(visits[2]))
    ledger.client.hset(visit_key(visits[3]), "r", "x")
    line = line_of(AT_FETCH, "p")
    ledger.client.zadd(line, {visit.id: 1 for visit in visits[:4]} | {"../x": 1})
    ledger.client.hset(key("visit", "p/../x"), mapping={"t": "", "v": 1})
    assert serve(ledger, Visit("q", "none")) == visits[4]
    assert ledger.client.zcard(line) == 0


def test_one_message_does_not_look_at_visits_for_ever(ledger: RedisLedger) -> None:
    visits = enqueue(ledger, "p", TRIES + 5)
    for visit in visits[:-1]:
        ledger.client.hset(visit_key(visit), "r", "x")
    pass_time(ledger.client, 60.0)
    assert serve(ledger, Visit("q", "none")) is None
    assert serve(ledger, Visit("q", "none")) == visits[-1]


# Counting


def tickets(ledger: RedisLedger, count: int, level: int = 9) -> None:
    ledger.client.delete(LISTS[level])
    for _ in range(count):
        ledger.client.lpush(LISTS[level], "x")


def late(ledger: RedisLedger) -> Counted:
    return ledger.turns.count("fetch", LISTS, 5.0)


def test_as_many_are_missing_as_have_waited_beyond_the_messages(
    ledger: RedisLedger,
) -> None:
    visits = enqueue(ledger, "p", 10)
    tickets(ledger, 8)
    assert late(ledger) == Counted([], 0)
    pass_time(ledger.client, 6.0)
    assert late(ledger) == Counted(visits[:2], 0)
    tickets(ledger, 10)
    assert late(ledger) == Counted([], 0)


def test_messages_of_one_urgency_do_not_make_up_for_another(ledger: RedisLedger) -> None:
    enqueue(ledger, "p", 10)
    urgent = enqueue(ledger, "q", 2, priority=4)
    tickets(ledger, 12)
    pass_time(ledger.client, 6.0)
    assert late(ledger).late == urgent


def test_a_message_that_was_sent_again_is_waited_for(ledger: RedisLedger) -> None:
    visits = enqueue(ledger, "p", 2)
    pass_time(ledger.client, 6.0)
    assert late(ledger).late == visits
    found = ledger.get(visits[0])
    assert found
    ledger.turns.sent([found.record])
    assert late(ledger).late == visits[1:]


def test_what_an_older_worker_queued_is_put_in_line(ledger: RedisLedger) -> None:
    visits = enqueue(ledger, "p", 5)
    before = ledger.client.zrange(line_of(AT_FETCH, "p"), 0, -1, withscores=True)
    ledger.client.delete(line_of(AT_FETCH, "p"), key("turn", "fetch", "9"))
    ledger.client.hset(visit_key(visits[0]), "r", "x")
    ledger.client.zadd(key("sent", "fetch"), {"no visit": 1})
    tickets(ledger, 5)
    assert late(ledger).strays == 6
    start = ledger.turns.adopt("fetch", 0)
    assert start == 6
    assert ledger.turns.adopt("fetch", start) == 0
    after = ledger.client.zrange(line_of(AT_FETCH, "p"), 0, -1, withscores=True)
    assert after == before[1:]
    assert [serve(ledger, Visit("q", "none")) for _ in visits[1:]] == visits[1:]


@pytest.mark.parametrize("state", [State.RUNNING, State.DONE])
def test_who_waits_for_no_message_stands_nowhere(ledger: RedisLedger, state: State) -> None:
    put(ledger)
    found = claim(ledger)
    assert place_of(found) is None
    if state == State.RUNNING:
        assert late(ledger) == Counted([], 0)
    assert ledger.client.keys("icfqueue:line:*") == []
