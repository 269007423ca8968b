"""Scripts that the server may have forgotten at any moment, one call or many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from support.valkey import Valkey

from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored import lua_scripts
from icfqueue.ledger.stored.lua_scripts import Script, run_many

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


@pytest.fixture
def add(ledger: RedisLedger) -> Script:
    return Script(ledger.client, ADD)


def forget(ledger: RedisLedger) -> None:
    ledger.client.script_flush()


def test_a_script_that_the_server_does_not_know_is_loaded(
    ledger: RedisLedger, add: Script
) -> None:
    for expected in (2, 4, 6):
        forget(ledger)
        assert add(keys=["n"], args=[2]) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_each_of_many_calls_is_made_once_and_answered_in_its_place(
    ledger: RedisLedger, add: Script, count: int
) -> None:
    forget(ledger)
    calls = [(["n"], [number]) for number in range(count)]
    answers = list(run_many(ledger.client, add, calls))
    assert answers == [sum(range(number + 1)) for number in range(count)]


@pytest.fixture
def forgetful(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A server that forgets scripts right after they were loaded, twice; when it did."""
    load = redis.client.Pipeline.load_scripts
    forgotten: list[object] = []
    with valkey.client() as other:

        def load_then_forget(pipe: Any) -> None:
            load(pipe)
            if len(forgotten) < 2:
                forgotten.append(other.script_flush())

        monkeypatch.setattr(redis.client.Pipeline, "load_scripts", load_then_forget)
        yield forgotten


def test_a_server_that_forgot_the_script_in_between_is_asked_again(
    ledger: RedisLedger, add: Script, forgetful: list[object]
) -> None:
    """As one that restarts just there; no call is made twice."""
    answers = list(run_many(ledger.client, add, [(["n"], [1])] * 3))
    assert len(forgetful) == 2
    assert answers == [1, 2, 3]


def test_what_is_wrong_with_one_call_is_raised(ledger: RedisLedger, add: Script) -> None:
    ledger.client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        run_many(ledger.client, add, [(["n"], [1]), (["text"], [1])])
    # The others were done: they are independent.
    assert ledger.client.get("n") == "1"


def test_a_script_is_tried_again_a_few_times_and_not_for_ever(
    add: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def unknown(**_: Any) -> None:
        tries.append(1)
        raise redis.exceptions.NoScriptError

    monkeypatch.setattr(add, "_script", unknown)
    with pytest.raises(redis.exceptions.NoScriptError):
        add(keys=[], args=[])
    assert len(tries) == lua_scripts._TRIES + 1
