"""Steps that fail: what is recorded, what waits, and whom it concerns besides."""

from __future__ import annotations

import json
import logging

import pytest
from support.in_process_queue import InProcessQueue
from support.pipeline import FailingStep, error_of
from support.schema import check_status
from support.waiting import pass_time

from icfqueue.core.errors import AccessDenied, DiskTrouble, NetworkTrouble
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.operations import status
from icfqueue.pipeline.health.circuit_breaker import CircuitBreaker
from icfqueue.steps import fetch, write_json

SECRET = "DOE^JANE"


def test_an_unexpected_error_is_permanent_without_traceback_or_value(
    in_process_queue: InProcessQueue,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = in_process_queue
    monkeypatch.setattr(write_json, "run", FailingStep(KeyError(SECRET)))
    caplog.set_level(logging.DEBUG)
    queue.drain()
    assert queue.record(visit).state == State.FAILED
    error = error_of(queue, visit)
    assert (error["kind"], error["step"]) == ("permanent", "write_json")
    assert "unexpected KeyError" in error["message"]
    shown = "".join(status.project_lines(queue.ledger, "study_1"))
    check_status(json.loads(shown))
    assert SECRET not in shown + caplog.text
    assert "Traceback" not in shown
    queue.producer.retry([visit], [State.FAILED])


def test_transient_failures_are_tried_as_often_as_is_set(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    step = FailingStep(NetworkTrouble("reset"))
    queue.worker = queue.another(
        retry_base=0.001, retry_cap=0.01, max_attempts=3, store_faults=100
    )
    monkeypatch.setattr(fetch, "run", step)
    queue.drain()
    after = queue.record(visit)
    assert (after.state, after.attempts, len(step.calls)) == (State.FAILED, 3, 3)
    assert error_of(queue, visit)["kind"] == "transient"


def test_a_full_disk_lets_every_visit_wait_and_none_fail(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    step = FailingStep(DiskTrouble("no space", hint="room"))
    visits = queue.build(3)
    queue.enqueue(visits)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "run", step)
        queue.worker = queue.another(disk_pause=600.0)
        queue.drain(until=lambda: queue.ledger.counts("study_1")[State.WAITING] == 3)
        assert len(step.calls) == 1
        for visit in visits:
            assert queue.record(visit).attempts == 0
            assert error_of(queue, visit)["type"] == "DiskTrouble"
    pass_time(queue.ledger.client, 601.0)
    queue.drain()
    assert queue.ledger.counts("study_1")[State.DONE] == 3


def test_refused_access_fails_the_other_visits_without_a_request_until_retry(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = in_process_queue
    visits = [Visit("study_1", f"v{number}") for number in range(5)]
    queue.enqueue(visits)
    refused = AccessDenied("https://x answers 401: no access", hint="give a credential")
    step = FailingStep(refused)
    monkeypatch.setattr(fetch, "run", step)
    queue.drain()
    assert len(step.calls) == 1
    assert len({json.dumps(error_of(queue, visit)) for visit in visits}) == 1
    assert error_of(queue, visits[0])["type"] == "AccessDenied"
    assert queue.ledger.counts("study_1")[State.FAILED] == 5
    queue.producer.retry(visits, [State.FAILED])
    queue.drain()
    assert len(step.calls) == 2


def test_a_hold_that_was_lifted_is_not_put_back_by_a_visit_that_met_it(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One visit has just read the note when 'retry' takes it away."""
    queue = in_process_queue
    visit = Visit("study_1", "at_the_store")
    queue.enqueue([visit])
    note = json.dumps({"message": "401", "hint": "h"})
    queue.ledger.notes.put("hold:study_1", note)
    raise_if_open = CircuitBreaker.raise_if_open

    def raise_if_open_then_reset(
        breaker: CircuitBreaker, visit: Visit, step: str, store_url: str, *, here: bool
    ) -> None:
        try:
            raise_if_open(breaker, visit, step, store_url, here=here)
        finally:
            breaker.reset(visit.project)

    monkeypatch.setattr(CircuitBreaker, "raise_if_open", raise_if_open_then_reset)
    message = queue.take()
    assert message
    assert queue.handle(message) == "failed"
    assert error_of(queue, visit)["message"] == "401"
    assert queue.ledger.notes.get("hold:study_1") is None
