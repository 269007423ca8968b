"""Why a project does not go on."""

from __future__ import annotations

import json

import msgspec
import pytest
from support.in_process_queue import InProcessQueue

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import RetryIn
from icfqueue.ledger.roster import Sign
from icfqueue.overview import standstill
from icfqueue.overview.observer import Observer
from icfqueue.overview.standstill import Reason, Standstill

V, W = Visit("study_1", "v"), Visit("study_1", "w")


@pytest.fixture
def still(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> InProcessQueue:
    """Two visits at which nobody works, and have not for longer than is usual."""
    monkeypatch.setattr(standstill, "STILL", -1.0)
    in_process_queue.enqueue([V, W])
    return in_process_queue


def reasons(queue: InProcessQueue) -> list[Reason]:
    picture = Observer(queue.ledger, "study_1").look()
    return Standstill(queue.ledger, queue.settings).look(picture)


def codes(queue: InProcessQueue) -> list[str]:
    return [reason.code for reason in reasons(queue)]


def supervised(ledger: RedisLedger) -> None:
    ledger.worker_lives("host:1")
    ledger.locks.take("supervisor", "t", 30.0)


def test_without_a_worker_it_says_how_to_start_one(still: InProcessQueue) -> None:
    (found,) = reasons(still)
    assert (found.code, found.text) == (
        "workers",
        "nothing moves, for no worker is running",
    )
    assert "icfqueue run study_1" in found.remedy


def test_workers_of_whom_none_looks_after_the_others_are_told(
    still: InProcessQueue,
) -> None:
    still.ledger.worker_lives("host:1")
    assert codes(still) == ["supervisor"]
    supervised(still.ledger)
    assert codes(still) == ["unknown"]


@pytest.mark.parametrize(
    ("note", "code", "word"),
    [
        ("hold:study_1", "access", "the store refuses study_1: as told"),
        ("rest:disk", "disk", "the disk is full: as told"),
        ("rest:data.inm-icf.de", "store", "left alone for a while: as told"),
    ],
)
def test_what_workers_have_noted_is_told_even_if_something_moves(
    still: InProcessQueue,
    monkeypatch: pytest.MonkeyPatch,
    note: str,
    code: str,
    word: str,
) -> None:
    monkeypatch.setattr(standstill, "STILL", 60.0)
    assert codes(still) == []
    still.ledger.notes.put(
        note, json.dumps({"message": "as told", "hint": "do PROJECT so"}), 30.0
    )
    (found,) = reasons(still)
    assert (found.code, found.remedy) == (code, "do study_1 so")
    assert word in found.text


def test_where_all_wait_it_says_so_and_leaves_to_the_picture_until_when(
    still: InProcessQueue,
) -> None:
    ledger = still.ledger
    supervised(ledger)
    error = NetworkTrouble("x")
    for visit in (V, W):
        ledger.update(visit, lambda r: record.claimed(r, "t", "w", 1.0), lease=30.0)
        ledger.update(visit, lambda r: record.failed(r, error, RetryIn(60.0), ledger.now()))
    (found,) = reasons(still)
    assert found.code == "waiting"
    assert found.text == "nothing moves: all 2 that are left wait for another try"


def test_workers_may_be_busy_with_other_projects(still: InProcessQueue) -> None:
    supervised(still.ledger)
    other = Visit("study_2", "x")
    still.enqueue([other])
    still.hold(other)
    assert codes(still) == ["others"]


def test_lists_that_are_made_anew_are_told(still: InProcessQueue) -> None:
    still.ledger.client.set("icfqueue:spoilt", "1")
    assert "indexes" in codes(still)


def test_a_step_at_work_is_no_standstill(
    still: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "STILL", 0.5)
    still.hold(V)
    assert codes(still) == []


def test_a_queue_that_no_worker_serves_is_told(still: InProcessQueue) -> None:
    supervised(still.ledger)
    sign = Sign(name="h:1", host="h", pid=1, since=0.0, queues=("index", "export"))
    still.ledger.roster.say(sign)
    (found,) = reasons(still)
    assert (found.code, found.remedy) == (
        "queues",
        "start 'icfqueue worker --queues fetch'",
    )
    still.ledger.roster.say(msgspec.structs.replace(sign, queues=("fetch",)))
    assert codes(still) == ["unknown"]
