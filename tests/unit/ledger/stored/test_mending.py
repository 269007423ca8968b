"""Keys that a stranger spoilt are removed, and all indexes made anew from the records."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
import redis
from support.ledger import VISIT, advance, check_indexes, claim, finish, put

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.steps import NAMES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import FROM_RECORDS, KINDS, SPOILT, key, visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored import spoilt
from icfqueue.ledger.stored.mending import kind_of, names_of, names_of_all

NAMES_OF_P = names_of_all() | names_of("p")
INDEXES = [name for name in NAMES_OF_P if name.split(":")[1] in FROM_RECORDS]
ONE_OF_EACH = sorted({name.split(":")[1]: name for name in INDEXES}.values())


@pytest.fixture
def full(ledger: RedisLedger) -> RedisLedger:
    """Visits at every step, one of them running, one waiting, one done."""
    for name in NAMES:
        visit = Visit("p", f"at_{name}")
        put(ledger, visit, priority=2)
        advance(ledger, visit, name)
    for name in ("running", "waiting", "done"):
        put(ledger, Visit("p", name))
    claim(ledger, Visit("p", "running"), lease=600.0)
    ledger.renew(Visit("p", "running"), "t", 600.0, 5, 6)
    done = Visit("p", "done")
    for facts in ({"tar_bytes": 100}, {"dicoms": 7}, {}, {}, {}, {}):
        claim(ledger, done)
        finish(ledger, done, **facts)
    waiting = Visit("p", "waiting")
    claim(ledger, waiting)
    later = time.time() + 600.0
    cause = NetworkTrouble("x")
    assert ledger.update(waiting, lambda r: record.postponed(r, cause, later))
    check_indexes(ledger)
    return ledger


def spoil(client: Any, name: str) -> None:
    client.delete(name)
    if kind_of(name) == "string":
        client.rpush(name, "x")
    else:
        client.set(name, "x")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_index_of_another_type_is_made_anew(full: RedisLedger, name: str) -> None:
    spoil(full.client, name)
    full.mend()
    check_indexes(full)
    assert full.totals("p") == {"tar_bytes": 100, "read_bytes": 100, "read_dicoms": 7}
    assert not full.unmended()


def test_all_of_them_at_once_are(full: RedisLedger) -> None:
    """Of the visits, nothing but the records is left."""
    before = full.counts("p")
    for name in NAMES_OF_P:
        spoil(full.client, name)
    assert full.counts("p") == before
    check_indexes(full)
    for name in NAMES_OF_P:
        assert full.client.type(name) in {"none", kind_of(name)}, name


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_visit_that_changes_meets_it_has_it_mended_and_changes_once(
    full: RedisLedger, name: str
) -> None:
    """No part of a change is made before all of it can be."""
    spoil(full.client, name)
    visit = Visit("p", "new")
    put(full, visit)
    advance(full, visit, UPDATE_CATALOG.name)
    full.mend()
    check_indexes(full)


def test_a_sum_that_is_no_number_is_made_anew(full: RedisLedger) -> None:
    full.client.hset(key("totals", "p"), "tar_bytes", "x")
    assert full.totals("p")["tar_bytes"] == 100
    full.client.hset(key("totals", "p"), "tar_bytes", "x")
    put(full)
    claim(full)
    finish(full, tar_bytes=11)
    assert full.totals("p")["tar_bytes"] == 111
    check_indexes(full)


def test_forgetting_a_visit_meets_it_too(full: RedisLedger) -> None:
    full.client.hset(key("totals", "p"), "tar_bytes", "x")
    spoil(full.client, key("due"))
    done = Visit("p", "done")
    assert full.forget(done, full.get(done))
    assert full.totals("p")["tar_bytes"] == 0
    check_indexes(full)


def test_members_that_are_no_visits_are_removed(full: RedisLedger) -> None:
    before = full.counts("p")
    full.client.sadd(key("in", "p", State.QUEUED), "\x1b[31m", "../..")
    full.client.zadd(key("leases"), {"nonsense": 0})
    assert len(full.visits("p")) == sum(before.values())
    assert full.counts("p") == before
    assert full.orphans() == []
    check_indexes(full)


def test_members_without_a_record_go_with_the_next_mending(full: RedisLedger) -> None:
    full.client.sadd(key("in", "p", State.QUEUED), "nobody")
    full.mend([Visit("p", "nobody")])
    check_indexes(full)


def test_what_stands_in_a_wrong_index_is_put_right(full: RedisLedger) -> None:
    """As after a change that an earlier release made in part."""
    full.client.sadd(key("in", "p", State.FAILED), "running")
    full.client.zrem(key("leases"), "p/running")
    full.mend([Visit("p", "running")])
    check_indexes(full)


def test_times_that_are_known_stay(full: RedisLedger) -> None:
    before = full.client.zscore(key("leases"), "p/running")
    spoil(full.client, key("due"))
    full.mend()
    assert full.client.zscore(key("leases"), "p/running") == before


@pytest.mark.parametrize(
    ("name", "text"),
    [("layout", "x"), ("layout", "1e9"), ("store", "$(id)"), ("store", "")],
)
def test_what_says_layout_and_store_is_strict(
    full: RedisLedger, name: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops nobody, and is told of."""
    full.bind_store("a" * 32)
    full.client.set(key(name), text)
    spoilt._silent_until.clear()
    with caplog.at_level(logging.WARNING):
        put(full, Visit("p", "another"))
    assert f"key.spoilt icfqueue:{name}" in caplog.text
    assert full.client.get(key("store")) == "a" * 32
    full.client.set(key(name), text)
    full.check_layout()
    assert full.store_id("b" * 32) == ("a" if name == "layout" else "b") * 32


def test_a_mending_that_was_cut_short_is_ended_by_the_next(full: RedisLedger) -> None:
    full.client.delete(key("in", "p", State.QUEUED), key("leases"))
    full.client.set(SPOILT, "1")
    assert full.unmended()
    full.client.set(key("lock", "mend"), "somebody", px=60_000)
    assert not full.unmended()
    full.mend()
    full.client.delete(key("lock", "mend"))
    assert full.unmended()
    full.mend()
    assert not full.unmended()
    check_indexes(full)


def test_without_the_right_to_scan_what_another_index_names_is_made_anew(
    full: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full._mender, "_named", lambda **_: ["refused", []])
    for name in INDEXES:
        if ":in:p:" not in name and name != key("projects"):
            spoil(full.client, name)
    full.mend()
    check_indexes(full)


@pytest.mark.parametrize("name", ["projects", "layout"])
def test_a_project_that_is_in_no_set_of_them_is_found_by_its_records(
    full: RedisLedger, name: str
) -> None:
    """Whether the set was spoilt as well, or is gone."""
    full.client.delete(key("projects"))
    spoil(full.client, key(name))
    spoil(full.client, key("totals", "p"))
    spoil(full.client, key("in", "p", State.QUEUED))
    put(full)
    full.mend()
    check_indexes(full)


def test_a_key_is_removed_while_another_makes_all_indexes_anew(full: RedisLedger) -> None:
    """Of a project that stands in no set until the other has ended."""
    full.client.delete(key("projects"))
    full.client.set(SPOILT, "1")
    full.client.set(key("lock", "mend"), "somebody", px=60_000)
    spoil(full.client, key("progress", "p"))
    full.renew(Visit("p", "running"), "t", 600.0, 7, 8)
    assert full.client.hgetall(key("progress", "p"))


def test_a_mending_that_fails_leaves_no_lock_for_which_others_wait(
    full: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(full._mender, "_index_batch", fail)
    spoil(full.client, key("leases"))
    with pytest.raises(redis.ConnectionError):
        full._mender.mend()
    assert not full.client.exists(key("lock", "mend"))


def test_a_lock_without_an_end_gets_one(full: RedisLedger) -> None:
    full.client.set(key("lock", "supervisor"), "stranger")
    full.mend()
    assert 0 < full.client.pttl(key("lock", "supervisor")) <= 3_000


def test_every_name_has_a_type() -> None:
    assert {name.split(":")[1] for name in NAMES_OF_P} <= set(KINDS)
    assert set(KINDS) >= FROM_RECORDS
    assert visit_key(VISIT) not in NAMES_OF_P


def test_a_key_that_stays_spoilt_is_told_of(
    full: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user who may not write."""
    monkeypatch.setattr(full._mender, "mend", lambda _, **__: None)
    spoil(full.client, key("leases"))
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        full.running_count()
