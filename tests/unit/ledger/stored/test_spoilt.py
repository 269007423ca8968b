"""What is read strictly: it means something, or is dropped with a word."""

from __future__ import annotations

import logging

import pytest
import redis

from icfqueue.ledger.keys import key
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored import spoilt
from icfqueue.ledger.stored.spoilt import amount, amounts, is_spoilt, mended, number, read

STRANGE = ["", "x", "-", "--1", "1.5", "1e3", " 1", "1_000", "\u0661", "9" * 16, "nan"]


@pytest.mark.parametrize("text", STRANGE)
def test_what_is_no_number_means_nothing(text: str) -> None:
    assert number(text) is None
    assert amount(text) is None
    assert amounts(f"1 {text}") is None


def test_numbers_are_read() -> None:
    assert (number("0"), number("12"), number("-1")) == (0, 12, None)
    assert (amount("-12"), amount("12")) == (-12, 12)
    assert amounts("7 8") == (7, 8)
    assert [amounts(text) for text in ("7", "7 8 9", "7  8", "-7 8")] == [None] * 4


def test_a_text_that_means_nothing_is_dropped_and_told_of_once(
    ledger: RedisLedger, caplog: pytest.LogCaptureFixture
) -> None:
    where = key("faults", "told-once")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            ledger.client.set(where, "x")
            assert read(ledger.client, where, number) is None
            assert ledger.client.get(where) is None
    assert caplog.text.count("key.spoilt") == 1
    ledger.client.set(where, "3")
    assert read(ledger.client, where, number) == 3


def test_a_key_that_is_no_text_is_dropped(ledger: RedisLedger) -> None:
    where = key("hold", "p")
    ledger.client.rpush(where, "x")
    assert read(ledger.client, where, str) is None
    assert ledger.client.exists(where) == 0


def test_many_names_do_not_fill_the_memory(ledger: RedisLedger) -> None:
    for turn in range(2100):
        spoilt.say(f"name {turn}", "x")
    assert len(spoilt._silent_until) <= 1001
    del ledger


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", "text", "x"),
        ("INCR", "text"),
        ("HINCRBY", "hash", "f", "1"),
        ("ZINCRBY", "zset", "x", "a"),
        ("EVAL", "return redis.call('LPUSH', 'text', 'x')", "0"),
        ("EVAL", "return redis.error_reply('SPOILT text')", "0"),
    ],
)
def test_a_servers_own_words_are_known(ledger: RedisLedger, command: list[str]) -> None:
    ledger.client.set("text", "x")
    ledger.client.hset("hash", "f", "x")
    ledger.client.zadd("zset", {"a": 1})
    with pytest.raises(redis.ResponseError) as found:
        ledger.client.execute_command(*command)
    assert is_spoilt(found.value), found.value


def test_other_errors_are_none(ledger: RedisLedger) -> None:
    with pytest.raises(redis.ResponseError) as found:
        ledger.client.execute_command("NOSUCHCOMMAND")
    assert not is_spoilt(found.value)
    assert not is_spoilt(redis.ConnectionError("WRONGTYPE"))


class Holder:
    """Meets spoilt keys as often as told."""

    def __init__(self, times: int, mending: Exception | None = None) -> None:
        self.times = times
        self.mending = mending
        self.count = 0

    def mend(self) -> None:
        self.count += 1
        if self.mending:
            raise self.mending

    @mended
    def ask(self) -> str:
        if self.count < self.times:
            raise spoilt.Spoilt("a key")
        return "answer"


def test_what_met_a_spoilt_key_is_done_again_once_it_is_mended() -> None:
    holder = Holder(times=1)
    assert (holder.ask(), holder.count) == ("answer", 1)


def test_it_is_not_tried_for_ever() -> None:
    with pytest.raises(redis.ResponseError, match="SPOILT a key"):
        Holder(times=9).ask()


def test_whoever_may_not_mend_tells_what_it_met() -> None:
    refusal = redis.exceptions.NoPermissionError("no permissions")
    with pytest.raises(redis.ResponseError, match="SPOILT a key") as found:
        Holder(times=1, mending=refusal).ask()
    assert found.value.__cause__ is refusal
