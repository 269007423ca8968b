"""Records in Redis: read one by one, written over what was read, removed; a real Valkey."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.ledger import OPTIONS, advance, check_indexes, claim, finish, put
from support.valkey import dump
from support.waiting import pass_time

from icfqueue.core.errors import NewerLayout, UnreadableRecord
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import LAYOUT, key, visit_key
from icfqueue.ledger.ledger import Entry, Unreadable
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger

V, W = Visit("p", "v"), Visit("p", "w")
LOOK = (1, 2, 3, 4)


def entry(ledger: RedisLedger, visit: Visit = V) -> Entry:
    found = ledger.get(visit)
    assert found is not None
    return found


def damage(ledger: RedisLedger, visit: Visit = V, text: str = "no JSON") -> Unreadable:
    ledger.client.hset(visit_key(visit), "r", text)
    (found,) = ledger.get_many([visit])
    assert isinstance(found, Unreadable)
    return found


# What is new


def test_what_older_releases_do_not_read_is_kept_and_goes_when_it_is_known_no_more(
    ledger: RedisLedger,
) -> None:
    put(ledger)
    ledger.update(V, lambda r: replace(r, fingerprint=LOOK))
    assert entry(ledger).record.fingerprint == LOOK
    claim(ledger)
    finish(ledger)
    assert entry(ledger).record.fingerprint == LOOK
    ledger.update(V, lambda r: replace(r, fingerprint=None))
    assert not ledger.client.hexists(visit_key(V), "m")


def test_a_write_by_an_older_release_has_it_forgotten(ledger: RedisLedger) -> None:
    """As that one does it: a version more, and the second part left as it was."""
    put(ledger)
    ledger.update(V, lambda r: replace(r, fingerprint=LOOK))
    ledger.client.hincrby(visit_key(V), "v", 1)
    assert entry(ledger).record.fingerprint is None


# Layouts


def test_under_a_newer_layout_nothing_is_written_and_a_word_says_why(
    ledger: RedisLedger,
) -> None:
    put(ledger)
    ledger.check_layout()
    ledger.client.set(key("layout"), LAYOUT)
    ledger.check_layout()
    ledger.client.set(key("layout"), LAYOUT + 1)
    before = dump(ledger.client)
    found = entry(ledger)
    refused: list[Callable[[], object]] = [
        ledger.check_layout,
        lambda: ledger.worker_lives("host:1"),
        lambda: ledger.update(V, lambda r: record.cancelled(r, 1.0)),
        lambda: ledger.put_many([(None, record.new(W, OPTIONS, 0, 1.0))] * 2),
        lambda: ledger.forget(V, found),
    ]
    for call in refused:
        with pytest.raises(NewerLayout, match="a newer icfqueue works with this broker"):
            call()
    assert dump(ledger.client) == before


# What cannot be read


def test_one_that_cannot_be_read_is_told_from_the_others(ledger: RedisLedger) -> None:
    for visit in (V, W):
        put(ledger, visit)
    damage(ledger)
    first, second, third = ledger.get_many([V, W, Visit("p", "none")])
    assert first == Unreadable(V, "1", "its record is no JSON")
    assert isinstance(second, Entry)
    assert third is None
    with pytest.raises(UnreadableRecord, match="p/v cannot be read: its record") as caught:
        ledger.get(V)
    assert caught.value.hint == "'icfqueue forget p v'"
    assert [found.visit for found in ledger.records("p")] == [W]
    # Whoever changes many leaves it alone.
    changed = ledger.update_many(dict.fromkeys([V, W], lambda r: record.cancelled(r, 1.0)))
    assert changed[V] is None
    assert changed[W] is not None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"r": ""}, "it has no text"),
        ({"v": "many"}, "it has no version"),
        ({"r": "\udcff"}, "its record is no JSON"),
    ],
)
def test_whatever_lies_there_is_no_error(
    ledger: RedisLedger, fields: dict[str, str], why: str
) -> None:
    put(ledger)
    raw = {k: v.encode("utf-8", "surrogateescape") for k, v in fields.items()}
    ledger.client.hset(visit_key(V), mapping=raw)
    (found,) = ledger.get_many([V])
    assert isinstance(found, Unreadable)
    assert found.why == why


def test_a_key_that_is_no_hash_is_no_error_either(ledger: RedisLedger) -> None:
    put(ledger)
    ledger.client.delete(visit_key(V))
    ledger.client.set(visit_key(V), "x")
    assert list(ledger.get_many([V])) == [Unreadable(V, "0", "it is no hash")]
    assert ledger.forget(V, Unreadable(V, "0", "it is no hash"))
    assert names(ledger) == set()


def test_what_is_no_visit_in_an_index_is_passed_over(ledger: RedisLedger) -> None:
    put(ledger)
    ledger.client.sadd(key("in", "p", State.QUEUED), "../x", "")
    for name in ("leases", "due"):
        ledger.client.zadd(key(name), {"no visit": 1, "p/../x": 2, "": 3})
    assert ledger.visits("p") == [V]
    assert (ledger.orphans(), ledger.due()) == ([], [])


# Versions begin anew


def test_a_version_that_comes_again_is_not_taken_for_the_one_that_was_read(
    ledger: RedisLedger,
) -> None:
    """After a loss of all data, or a backup, versions count anew."""
    put(ledger)
    claim(ledger, token="old")
    before = entry(ledger)
    ledger.client.flushall()
    put(ledger)
    claim(ledger, token="new")
    assert entry(ledger).version == before.version
    late = record.finished(before.record, record.Outcome(worked=True), 9.0)
    assert ledger.put_many([(before, late)]) == [False]
    assert ledger.replace(before, late) is None
    assert entry(ledger).record.token == "new"


# Forgetting


def names(ledger: RedisLedger) -> set[str]:
    """Return the keys but those of turns, which end when they are next looked at."""
    return {name for name in dump(ledger.client) if not name.startswith(key("turn:"))}


@pytest.mark.parametrize("step", ["fetch", "write_json", "update_catalog", "cleanup"])
def test_of_a_visit_that_is_forgotten_nothing_is_left(
    ledger: RedisLedger, step: str
) -> None:
    put(ledger)
    before = names(ledger)
    ledger.put_many([(None, record.new(W, OPTIONS, 0, 1.0).with_size(5))])
    advance(ledger, W, step)
    assert ledger.forget(W, entry(ledger, W))
    assert names(ledger) <= before | {key(name, "p") for name in ("totals", "tally")} | {
        key("flush")
    }
    assert set(ledger.totals("p").values()) == {0}
    check_indexes(ledger)
    # The last one takes its project along.
    assert ledger.forget(V, entry(ledger))
    assert ledger.projects() == []
    assert names(ledger) == set()


def test_what_a_worker_holds_is_forgotten_only_by_force(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger)
    assert not ledger.forget(V, entry(ledger))
    assert not ledger.forget(V, damage(ledger))
    assert ledger.forget(V, damage(ledger), force=True)
    assert not ledger.renew(V, "t", 30.0)


def test_what_was_changed_since_it_was_read_is_not_forgotten(ledger: RedisLedger) -> None:
    put(ledger)
    before = entry(ledger)
    ledger.update(V, lambda r: record.cancelled(r, 1.0))
    assert not ledger.forget(V, before)
    assert not ledger.forget(V, None)
    assert entry(ledger).record.state == State.CANCELLED


def test_a_visit_without_a_record_is_taken_out_of_every_index(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger)
    ledger.client.delete(visit_key(V))
    pass_time(ledger.client, 60.0)
    assert ledger.forget(V, None)
    assert ledger.orphans() == ledger.visits("p") == ledger.projects() == []


def test_the_sums_of_a_project_are_made_anew(ledger: RedisLedger) -> None:
    ledger.put_many([(None, record.new(v, OPTIONS, 0, 1.0).with_size(5)) for v in (V, W)])
    damage(ledger)
    assert ledger.totals("p")["tar_bytes"] == 10
    assert ledger.forget(V, damage(ledger))
    assert ledger.recount("p")
    assert ledger.totals("p")["tar_bytes"] == 5


def test_a_record_has_the_same_text_for_every_release(ledger: RedisLedger) -> None:
    put(ledger)
    ledger.update(V, lambda r: replace(r, fingerprint=LOOK))
    fields = ledger.client.hgetall(visit_key(V))
    assert set(fields) == {"v", "t", "r", "w", "m"}
    assert "fingerprint" not in json.loads(fields["r"])
