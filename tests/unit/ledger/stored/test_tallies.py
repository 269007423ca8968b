"""What happened is counted once, with the record that says so, and never taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.records import OPTIONS

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.ledger.stored.tallies import (
    BYTES,
    MICRO,
    SECONDS,
    UNKNOWN,
    Histogram,
    Tallies,
    added,
)

V = Visit("p", "v")
NEW = record.new(V, OPTIONS, 0, 1.0)
RUNNING = record.claimed(NEW, "t", "w", 1.0)
TROUBLE = NetworkTrouble("x")


def of_cause(found: Record, cause: str) -> Record:
    return replace(found, error={**(found.error or {}), "cause": cause})


def test_a_step_that_is_done_is_counted_with_its_seconds_and_the_tarballs_size() -> None:
    done = record.finished(RUNNING, Outcome(worked=True, tar_bytes=2_000_000), 1.25)
    assert added(RUNNING, done) == {
        "seconds:fetch:0.3": 1,
        "seconds:fetch:sum": 250_000,
        "bytes:fetch:1e+07": 1,
        "bytes:fetch:sum": 2_000_000,
    }
    # A size that nobody knows yet is no size of 0.
    unknown = record.finished(RUNNING, Outcome(worked=False), 1.25)
    assert set(added(RUNNING, unknown)) == {"seconds:fetch:0.3", "seconds:fetch:sum"}


def test_a_value_on_a_bound_is_in_its_bucket_and_a_great_one_in_the_last() -> None:
    for seconds, bound in ((1.0, "1.0"), (1.0001, "3.0"), (20_000.0, "+Inf")):
        done = record.finished(RUNNING, Outcome(worked=True), 1.0 + seconds)
        assert added(RUNNING, done)[f"seconds:fetch:{bound}"] == 1, bound


def test_a_failure_a_retry_and_a_visit_put_off_are_told_apart_by_cause() -> None:
    failed = of_cause(record.failed(RUNNING, TROUBLE, Fail(), 2.0), "network")
    assert added(RUNNING, failed) == {"failures:fetch:network": 1}
    waiting = of_cause(record.failed(RUNNING, TROUBLE, RetryIn(1.0), 2.0), "network")
    assert added(RUNNING, waiting) == {"retries:fetch:network": 1}
    put_off = replace(record.postponed(RUNNING, None, 9.0), error=None)
    assert added(RUNNING, put_off) == {f"postponed:fetch:{UNKNOWN}": 1}


def test_a_lease_that_ran_out_is_counted_even_if_the_visit_then_fails() -> None:
    lost = record.orphaned(RUNNING)
    assert added(RUNNING, lost) == {"lost:fetch": 1}
    failed = of_cause(record.failed(RUNNING.at(crashes=1), TROUBLE, Fail(), 2.0), "crash")
    assert added(RUNNING, failed) == {"lost:fetch": 1, "failures:fetch:crash": 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, NEW),
        (NEW, RUNNING),
        (RUNNING, record.given_back(RUNNING)),
        (RUNNING, record.cancelled(RUNNING, 2.0)),
        (RUNNING, record.enqueued(RUNNING, OPTIONS, 0, 2.0)),
        (record.postponed(RUNNING, None, 9.0), NEW),
    ],
)
def test_what_a_person_does_or_what_only_goes_on_is_no_event(
    old: Record | None, new: Record
) -> None:
    assert not added(old, new)


def test_counts_are_kept_by_the_broker_and_outlast_whoever_reads_them(
    ledger: RedisLedger,
) -> None:
    ledger.put_many([(None, NEW)])
    entry = ledger.get(V)
    assert entry
    claimed = ledger.replace(entry, RUNNING, lease=9.0)
    assert claimed
    done = record.finished(RUNNING, Outcome(worked=True, tar_bytes=7), 1.5)
    assert ledger.replace(claimed, done)
    # Written twice, as by a worker whose answer was lost: counted once.
    assert not ledger.replace(claimed, done)
    found = RedisLedger(ledger.client).tallies.of("p")
    assert found.seconds["fetch"].buckets == {"1.0": 1}
    assert found.seconds["fetch"].sum == 0.5
    assert found.bytes["fetch"].sum == 7.0


def test_counts_go_with_the_last_visit_of_a_project(ledger: RedisLedger) -> None:
    other = Visit("p", "other")
    ledger.put_many([(None, NEW), (None, record.new(other, OPTIONS, 0, 1.0))])
    ledger.client.hset("icfqueue:tally:p", "lost:fetch", 3)
    assert ledger.forget(other, ledger.get(other))
    assert ledger.tallies.of("p").lost == {"fetch": 3}
    assert ledger.forget(V, ledger.get(V))
    assert not ledger.client.exists("icfqueue:tally:p")


def test_a_strangers_counts_are_removed_and_stop_nobody(ledger: RedisLedger) -> None:
    ledger.put_many([(None, NEW), (None, record.new(Visit("p", "w"), OPTIONS, 0, 1.0))])
    ledger.client.hset("icfqueue:tally:p", "seconds:fetch:sum", "much")
    entry = ledger.get(V)
    assert entry
    claimed = ledger.replace(entry, RUNNING, lease=9.0)
    assert claimed
    assert ledger.replace(claimed, record.finished(RUNNING, Outcome(worked=True), 1.5))
    assert ledger.tallies.of("p").seconds["fetch"].sum == 0.5


def test_fields_of_others_are_left_out() -> None:
    strange = {
        "seconds:fetch:sum": "-1",
        "seconds:fetch:nan": "x",
        "seconds:fetch:much": "1",
        "bytes:no_step:1e+06": "1",
        "color:fetch:red": "1",
        "lost:fetch": "2",
        "": "3",
    }
    found = Tallies.of(strange)
    assert found.lost == {"fetch": 2}
    assert not found.bytes
    assert found.seconds["fetch"].buckets == {}


def test_a_histogram_is_cumulative_and_has_every_bound() -> None:
    found = Tallies.of(
        {
            "seconds:fetch:0.3": "2",
            "seconds:fetch:+Inf": "1",
            # Of a release with other bounds.
            "seconds:fetch:0.2": "4",
            "seconds:fetch:sum": str(3 * MICRO),
        }
    ).seconds["fetch"]
    counts = dict(found.cumulative(SECONDS))
    assert set(counts) == {*SECONDS, "0.2", "+Inf"}
    assert (counts["0.1"], counts["0.2"], counts["0.3"], counts["+Inf"]) == (0, 4, 6, 7)
    assert found.sum == 3.0
    assert [count for _, count in Histogram().cumulative(BYTES)] == [0] * (len(BYTES) + 1)


def test_the_lease_that_ends_first_is_found(ledger: RedisLedger) -> None:
    assert ledger.tallies.first_lease_ends() is None
    ledger.client.zadd("icfqueue:leases", {"p/v": 5000, "p/w": 4000})
    assert ledger.tallies.first_lease_ends() == 4.0
