"""What is worth a message."""

from __future__ import annotations

import json
import time

import pytest
from support.ledger import claim, finish, put

from icfqueue.core.errors import BadTarball
from icfqueue.core.settings import Settings
from icfqueue.core.steps import QUEUES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail
from icfqueue.ledger.roster import Sign
from icfqueue.monitoring import watch
from icfqueue.monitoring.watch import Watch

SETTINGS = Settings(store_url="https://data.example.org")
A, B = Visit("study_1", "a"), Visit("study_1", "b")


def fail(ledger: RedisLedger, visit: Visit) -> None:
    claim(ledger, visit)
    error = BadTarball("geheim.dcm is cut")
    ledger.update(visit, lambda r: record.failed(r, error, Fail(), 1.0))


def finish_all(ledger: RedisLedger, visit: Visit) -> None:
    for _ in range(6):
        claim(ledger, visit)
        finish(ledger, visit)


def test_a_failure_and_the_end_are_told_once(ledger: RedisLedger) -> None:
    """No word of the error is, for it may name a person."""
    seen = Watch(ledger, SETTINGS)
    put(ledger, A)
    put(ledger, B)
    assert seen.look() == []
    fail(ledger, A)
    (message,) = seen.look()
    assert message["event"] == "visit.failed"
    assert (message["project"], message["count"], message["visits"]) == (
        "study_1",
        1,
        ["a"],
    )
    assert message["causes"] == {BadTarball("").cause: 1}
    assert "geheim" not in str(message)
    assert message["see"] == "icfqueue status study_1 --state failed"
    finish_all(ledger, B)
    (message,) = seen.look()
    assert message["event"] == "project.drained"
    assert (message["counts"]["done"], message["counts"]["failed"]) == (1, 1)
    assert seen.look() == []


def test_many_failures_are_one_message_now_and_then(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Watch(ledger, SETTINGS)
    visits = [Visit("study_1", f"v{number:02}") for number in range(40)]
    for visit in visits:
        put(ledger, visit)
    for visit in visits[:30]:
        fail(ledger, visit)
    (message,) = seen.look()
    assert (message["count"], len(message["visits"])) == (30, watch.NAMED)
    fail(ledger, visits[30])
    assert seen.look() == []
    monkeypatch.setattr(watch, "FAILURES_EVERY", 0.0)
    assert [one["count"] for one in seen.look()] == [1]
    monkeypatch.undo()
    fail(ledger, visits[31])
    assert [one["event"] for one in seen.look(last=True)] == ["visit.failed"]


def test_what_drained_before_is_not_told(ledger: RedisLedger) -> None:
    put(ledger, A)
    finish_all(ledger, A)
    time.sleep(0.01)
    seen = Watch(ledger, SETTINGS)
    assert seen.look() == []


def test_a_project_that_drains_between_two_looks_is_told(ledger: RedisLedger) -> None:
    seen = Watch(ledger, SETTINGS, "study_1")
    put(ledger, A)
    finish_all(ledger, A)
    put(ledger, Visit("other", "x"))
    assert [(one["event"], one["project"]) for one in seen.look()] == [
        ("project.drained", "study_1")
    ]


def test_a_project_that_stands_still_is_told_once_until_it_moves(
    ledger: RedisLedger,
) -> None:
    put(ledger, A)
    seen = Watch(ledger, SETTINGS, stalled=0.0)
    (message,) = seen.look()
    assert (message["event"], message["code"]) == ("project.stalled", "workers")
    assert seen.look() == []
    claim(ledger, A)
    # A step at work is no standstill, however long it takes.
    assert seen.look() == []
    ledger.update(A, record.given_back)
    ledger.worker_lives("h:1")
    (message,) = seen.look()
    assert (message["code"], message["reason"]) == (
        "supervisor",
        "nothing moves, for no worker looks after the others",
    )


def test_the_reason_of_a_standstill_has_no_word_of_an_error(ledger: RedisLedger) -> None:
    put(ledger, A)
    ledger.roster.say(Sign(name="h:1", host="h", pid=1, since=0.0, queues=QUEUES))
    ledger.worker_lives("h:1")
    ledger.locks.take("supervisor", "t", 30.0)
    said = {"message": "no room for /data/icf/study_1/geheim_dicom.tar", "hint": "geheim"}
    ledger.notes.put("rest:disk", json.dumps(said))
    (message,) = Watch(ledger, SETTINGS, stalled=0.0).look()
    assert message["code"] == "disk"
    assert message["reason"] == "no step begins, for the disk is full"
    assert "geheim" not in str(message)


def test_the_command_that_shows_more_is_for_the_store_that_is_watched(
    ledger: RedisLedger,
) -> None:
    seen = Watch(ledger, SETTINGS, command=lambda *words: f"{' '.join(words)} there")
    put(ledger, A)
    fail(ledger, A)
    messages = seen.look()
    assert messages[0]["see"] == "status study_1 --state failed there"
