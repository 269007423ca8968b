"""The workers' signs of life, on a real Valkey."""

from __future__ import annotations

import pytest
from support.round_trips import round_trips
from support.waiting import pass_time

from icfqueue.ledger.keys import key
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.roster import BELIEVED, SWEPT_AFTER, JobSign, Sign

JOB = JobSign(project="p", visit="v", step="fetch", since=7.0, bytes=12, pid=43)
SIGN = Sign(name="host:42", host="host", pid=42, since=5.0, queues=("fetch",), jobs=(JOB,))


def test_a_sign_is_read_as_it_was_written_with_the_servers_time(
    ledger: RedisLedger,
) -> None:
    ledger.roster.say(SIGN)
    (found,) = ledger.roster.signs()
    assert abs(found.seen - ledger.now()) < BELIEVED
    assert (found.name, found.queues, found.jobs) == ("host:42", ("fetch",), (JOB,))
    ledger.roster.gone("host:42")
    assert ledger.roster.signs() == []


def test_a_sign_and_a_look_at_all_are_a_round_trip_each(ledger: RedisLedger) -> None:
    ledger.roster.say(SIGN)  # the server now knows the script
    with round_trips() as sent:
        ledger.roster.say(SIGN)
        ledger.roster.signs()
    assert len(sent) == 2


def test_who_is_silent_for_long_is_left_out_and_later_swept(ledger: RedisLedger) -> None:
    ledger.roster.say(SIGN)
    pass_time(ledger.client, BELIEVED + 1)
    assert ledger.roster.signs() == []
    other = Sign(name="host:2", host="host", pid=2, since=5.0)
    ledger.roster.say(other, sweep=True)
    assert set(ledger.client.hkeys(key("signs"))) == {"host:42", "host:2"}
    pass_time(ledger.client, SWEPT_AFTER + 1)
    ledger.roster.say(other, sweep=True)
    assert ledger.client.hkeys(key("signs")) == ["host:2"]


@pytest.mark.parametrize(
    "text", ["", "nothing", "1", "x {}", "5 {}", '5 {"name": "other", "host": ""}', "5 []"]
)
def test_what_is_no_sign_is_dropped(ledger: RedisLedger, text: str) -> None:
    """And the others are still read."""
    ledger.roster.say(SIGN)
    ledger.client.hset(key("signs"), "a-stranger", text)
    assert [sign.name for sign in ledger.roster.signs()] == ["host:42"]
    assert ledger.client.hkeys(key("signs")) == ["host:42"]


def test_a_key_that_is_no_hash_is_mended(ledger: RedisLedger) -> None:
    ledger.client.set(key("signs"), "x")
    assert ledger.roster.signs() == []
    ledger.client.rpush(key("signs"), "x")
    ledger.roster.say(SIGN)
    assert len(ledger.roster.signs()) == 1
