"""A server that forgets scripts, restarts, is out of memory, or loses all its data."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.ledger import OPTIONS, VISIT, check_indexes, claim, finish, put
from support.valkey import Valkey, dump, out_of_memory, token

from icfqueue.broker.refusals import BrokerRefuses
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored.turns import Counted

on_valkey = pytest.mark.parametrize("connect", ["valkey"], indirect=True)
"""For what fakeredis cannot do."""


def test_scripts_that_the_server_forgot_are_loaded_again(ledger: RedisLedger) -> None:
    put(ledger)
    for _ in range(2):
        ledger.client.script_flush()
        put(ledger, Visit("p", token()))
        ledger.client.script_flush()
        ledger.turns.sent([record.new(VISIT, OPTIONS, 0, 1.0)])
        ledger.client.script_flush()
        assert not ledger.renew(VISIT, "t", 30.0)
        ledger.client.script_flush()
        assert ledger.locks.take("l", "a", 30.0)
        assert ledger.orphans() == []


def test_a_server_that_restarts_between_loading_and_using_a_script(
    ledger: RedisLedger, connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline reaches a server that does not know the script: it is sent again."""
    other = connect()
    visits = [Visit("p", f"v{number}") for number in range(5)]
    load_scripts: Callable[[Any], None] = redis.client.Pipeline.load_scripts
    flushes: list[Any] = []

    def load_then_forget(pipe: Any) -> None:
        load_scripts(pipe)
        if len(flushes) < 2:
            flushes.append(other.script_flush())

    monkeypatch.setattr(redis.client.Pipeline, "load_scripts", load_then_forget)
    pairs = [(None, record.new(visit, OPTIONS, 0, 1.0)) for visit in visits]
    assert ledger.put_many(pairs) == [True] * 5
    assert len(flushes) == 2
    check_indexes(ledger)


@on_valkey
def test_a_restarted_server_has_all_records_and_the_connections_go_on(
    valkey: Valkey, ledger: RedisLedger
) -> None:
    put(ledger)
    claim(ledger, lease=30.0)
    before = ledger.get(VISIT)
    began = time.monotonic()
    valkey.restart()
    assert ledger.get(VISIT) == before
    assert ledger.renew(VISIT, "t", 30.0)
    assert finish(ledger).step == "index_tar"
    # The server counts from full second to full second.
    assert ledger.uptime() < time.monotonic() - began + 2.0
    check_indexes(ledger)


@on_valkey
def test_a_server_that_is_out_of_memory_refuses_and_changes_nothing(
    ledger: RedisLedger,
) -> None:
    ledger.put_many([(None, record.new(VISIT, OPTIONS, 0, 1.0).with_size(5))])
    before = dump(ledger.client)
    with out_of_memory(ledger.client):
        with pytest.raises(BrokerRefuses):
            put(ledger, Visit("p", "w"))
        entry = ledger.get(VISIT)
        with pytest.raises(BrokerRefuses):
            ledger.forget(VISIT, entry)
    assert dump(ledger.client) == before


def test_all_data_lost_in_mid_use_is_a_lost_lease_and_no_error(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger)
    ledger.client.flushall()
    assert not ledger.renew(VISIT, "t", 30.0)
    done = Outcome(worked=True)
    assert ledger.update(VISIT, lambda r: record.finished(r, done, 1.0)) is None
    assert (ledger.orphans(), ledger.due(), ledger.flushes_due()) == ([], [], [])
    assert ledger.counts("p") == dict.fromkeys(State, 0)
    ledger.turns.sent([record.new(VISIT, OPTIONS, 0, 1.0)])
    assert ledger.turns.count("fetch", ["none"] * 10, 0.0) == Counted([], 0)
    put(ledger)
    check_indexes(ledger)
