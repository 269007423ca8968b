"""Failures by cause: counts, which visit is typical, what is done about them."""

from __future__ import annotations

from dataclasses import replace

from support.records import a_record, failed_with, troubled_project

from icfqueue.core.causes import CAUSES
from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import visit_key
from icfqueue.ledger.ledger import Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.overview.failures import NOT_BY_RETRY, by_cause, error_of

PROJECT = "study_1"


def visit(name: str) -> Visit:
    return Visit(PROJECT, name)


def put(ledger: RedisLedger, *records: Record) -> None:
    assert all(ledger.put_many([(None, each) for each in records]))


def test_508_failures_of_a_long_project_are_three_groups(ledger: RedisLedger) -> None:
    """More than one batch of records; the commonest cause comes first."""
    put(ledger, *troubled_project())
    groups = by_cause(ledger, PROJECT)
    assert [(group.cause, group.count) for group in groups] == [
        ("cut", 445),
        ("network", 32),
        ("gzip", 31),
    ]
    cut, network, gzip = groups
    assert (cut.remedy, cut.visits[:2]) == (CAUSES["cut"].remedy, ["sub-0001", "sub-0002"])
    assert (len(cut.visits), cut.example_visit) == (445, "sub-0001")
    assert "study_1/sub-0001_dicom.tar ends after 512 bytes" in cut.message
    assert (network.transient, network.retry_helps) == (True, True)
    assert (cut.transient, cut.retry_helps) == (False, True)
    assert gzip.hint.startswith("unpack it: mv study_1/sub-0015_dicom.tar")


def test_the_example_is_one_of_those_that_failed_in_the_commonest_way(
    ledger: RedisLedger,
) -> None:
    """Numbers and the visit's own id make no difference."""
    put(
        ledger,
        failed_with(visit("sub-a"), NetworkTrouble("study_1/sub-a: no route to host")),
        failed_with(visit("sub-b"), NetworkTrouble("study_1/sub-b: reset after 12 bytes")),
        failed_with(visit("sub-c"), NetworkTrouble("study_1/sub-c: reset after 99 bytes")),
    )
    (group,) = by_cause(ledger, PROJECT)
    assert group.example_visit == "sub-b"
    assert group.message == "study_1/sub-b: reset after 12 bytes"
    assert group.visits == ["sub-a", "sub-b", "sub-c"]


def test_visits_that_did_not_fail_are_in_no_group(ledger: RedisLedger) -> None:
    put(ledger, *(a_record(state) for state in State))
    assert [group.visits for group in by_cause(ledger, PROJECT)] == [["failed"]]
    (waiting,) = by_cause(ledger, PROJECT, [State.WAITING])
    assert (waiting.cause, waiting.visits) == ("network", ["waiting"])
    assert waiting.due == a_record(State.WAITING).due
    assert by_cause(ledger, PROJECT, [State.DONE]) == []
    assert by_cause(ledger, "study_2") == []


def test_a_cause_that_this_release_does_not_know_has_the_remedy_of_its_visit(
    ledger: RedisLedger,
) -> None:
    found = failed_with(visit("a"), BadTarball("x", hint="do y"))
    error = {**(found.error or {}), "cause": "of-a-newer-release"}
    put(ledger, replace(found, error=error))
    (group,) = by_cause(ledger, PROJECT)
    assert (group.cause, group.remedy) == ("of-a-newer-release", "do y")


def test_a_record_that_cannot_be_read_has_a_cause_too(ledger: RedisLedger) -> None:
    put(ledger, a_record(State.FAILED), a_record(State.QUEUED))
    ledger.client.hset(visit_key(visit("failed")), "r", "{")
    (group,) = by_cause(ledger, PROJECT)
    assert (group.cause, group.example_visit) == ("unreadable", "failed")
    assert group.hint == "'icfqueue forget study_1 failed'"
    assert not group.retry_helps
    ledger.client.hset(visit_key(visit("queued")), "r", "{")
    everything = by_cause(ledger, PROJECT, among=ledger.visits(PROJECT))
    assert [group.count for group in everything] == [2]
    error = error_of(Unreadable(visit("v"), "1", "no JSON", hint="install a newer one"))
    assert error["hint"] == "install a newer one"


def test_causes_that_no_retry_helps_are_known_ones() -> None:
    assert set(CAUSES) >= NOT_BY_RETRY
