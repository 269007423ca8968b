"""What happened to visits, on a real Valkey: written with the record, and read in order."""

from __future__ import annotations

import time

import pytest
import redis
from support.ledger import VISIT, claim, finish, put
from support.round_trips import round_trips

from icfqueue.core.errors import BadTarball, NetworkTrouble, StepError
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.ledger.telling import events
from icfqueue.ledger.telling.events import Event

CUT = BadTarball("the tarball is cut short")


def kinds(ledger: RedisLedger) -> list[str]:
    return [event.kind for event in ledger.events.all()]


def test_a_visits_life_is_told_in_order(ledger: RedisLedger) -> None:
    """With who did it, to which step, and what became of the visit."""
    put(ledger)
    claim(ledger)
    finish(ledger)
    claim(ledger)
    ledger.update(VISIT, lambda r: record.failed(r, CUT, Fail(), 1.0))
    told = list(ledger.events.all())
    assert [(e.kind, e.step, e.state, e.worker, e.cause) for e in told] == [
        ("visit.enqueued", "fetch", "queued", "", ""),
        ("step.began", "fetch", "running", "host:1", ""),
        ("step.done", "fetch", "queued", "host:1", ""),
        ("step.began", "index_tar", "running", "host:1", ""),
        ("step.failed", "index_tar", "failed", "host:1", CUT.cause),
    ]
    assert told[2].message.endswith(" s")
    assert told[4].message == "the tarball is cut short"
    assert {(e.project, e.visit) for e in told} == {("p", "v")}
    assert abs(told[0].t - ledger.now()) < 30
    assert [e.id for e in told] == sorted((e.id for e in told), key=_place)


def _place(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("-"))


def _running() -> Record:
    made = record.new(VISIT, put_options(), 0, 1.0)
    return record.claimed(made, "t", "host:1", 2.0)


def put_options() -> record.Options:
    return record.Options("https://data.example.org")


def fail(found: Record, error: StepError, *, again: bool) -> Record:
    return record.failed(found, error, RetryIn(5.0) if again else Fail(), 3.0)


RUNNING = _running()
WAITING = fail(RUNNING, NetworkTrouble("cut off"), again=True)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (RUNNING, WAITING, "step.waiting"),
        (WAITING, record.due_again(WAITING), "visit.due"),
        (RUNNING, record.given_back(RUNNING), "step.given_back"),
        (RUNNING, record.orphaned(RUNNING), "visit.orphaned"),
        (RUNNING, record.cancelled(RUNNING, 3.0), "visit.cancelled"),
        (RUNNING, record.resumed(RUNNING, 3.0), "visit.enqueued"),
        (None, record.cancelled(RUNNING, 3.0), "visit.recorded"),
    ],
)
def test_each_change_has_its_kind(old: Record | None, new: Record, kind: str) -> None:
    event = events.between(old, new)
    assert event is not None
    assert event.kind == kind
    assert event.worker == ("host:1" if kind[:4] == "step" or "orphan" in kind else "")


def test_a_change_that_moves_nothing_is_not_told() -> None:
    assert events.between(RUNNING, RUNNING.with_size(7)) is None


def test_it_costs_no_round_trip(ledger: RedisLedger) -> None:
    put(ledger)
    ledger.now()
    with round_trips() as sent:
        claim(ledger)
    assert len(sent) == 2  # the record is read, and written
    assert kinds(ledger)[-1] == "step.began"


def test_what_follows_is_read_from_where_one_stopped(ledger: RedisLedger) -> None:
    began = ledger.events.now()
    put(ledger)
    (first,) = ledger.events.after(began)
    claim(ledger)
    finish(ledger)
    assert [e.kind for e in ledger.events.after(first.id)] == ["step.began", "step.done"]
    assert ledger.events.after("0-0", 1) == [first]
    time.sleep(0.01)
    assert ledger.events.after(ledger.events.now()) == []


def test_the_oldest_go_first(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream has an end, whatever goes on."""
    monkeypatch.setattr(events, "KEPT", 100)
    for number in range(400):
        ledger.events.add(Event(kind="x", project="p", visit=str(number)))
    kept = [int(event.visit) for event in ledger.events.all()]
    assert kept == list(range(kept[0], 400))
    assert 100 <= len(kept) < 400


def test_what_was_said_of_a_forgotten_visit_goes(ledger: RedisLedger) -> None:
    put(ledger)
    put(ledger, Visit("p", "other"))
    ledger.events.forget([VISIT])
    assert [event.visit for event in ledger.events.all()] == ["other"]


def test_what_somebody_else_wrote_is_left_out(ledger: RedisLedger) -> None:
    ledger.client.xadd(key("events"), {"e": "no JSON"})
    ledger.client.xadd(key("events"), {"other": "{}"})
    put(ledger)
    assert kinds(ledger) == ["visit.enqueued"]


def test_a_record_is_written_although_its_event_cannot_be(ledger: RedisLedger) -> None:
    """As where another key has the name; who reads events mends that."""
    ledger.client.set(key("events"), "x")
    put(ledger)
    assert ledger.get(VISIT)
    assert kinds(ledger) == []
    claim(ledger)
    assert kinds(ledger) == ["step.began"]


def test_a_user_without_the_right_to_events_still_writes_records(
    ledger: RedisLedger,
) -> None:
    """Such were the rights of the release before."""
    client = ledger.client
    client.execute_command("ACL", "SETUSER", "old", "on", ">p", "~*", "+@all", "-xadd")
    try:
        sockets = client.connection_pool.connection_kwargs
        other = redis.Redis(
            unix_socket_path=sockets["path"],
            username="old",
            password="p",
            decode_responses=True,
        )
        with other:
            put(RedisLedger(other))
    finally:
        client.execute_command("ACL", "DELUSER", "old")
    assert ledger.get(VISIT)
    assert kinds(ledger) == []
