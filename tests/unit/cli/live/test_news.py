"""What is told once: why visits wait, what the broker refuses."""

from __future__ import annotations

import pytest
from support.in_process_queue import InProcessQueue
from support.valkey import out_of_memory

from icfqueue.cli.live import news
from icfqueue.cli.session import Session
from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import RetryIn
from icfqueue.operations.status import summary

PROJECT = "study_1"
V, W = Visit(PROJECT, "v"), Visit(PROJECT, "w")


def wait(ledger: RedisLedger, visit: Visit, message: str) -> None:
    """Let the visit fail for now, with `message`."""
    ledger.update(visit, lambda r: record.claimed(r, "t", "w", 1.0), lease=30.0)
    error = NetworkTrouble(message)
    ledger.update(visit, lambda r: record.failed(r, error, RetryIn(60.0), 1.0))


def test_each_reason_to_wait_is_told_once_whatever_visit_it_names(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process_queue.enqueue([V, W])
    ledger = in_process_queue.ledger
    reasons = news.Reasons(ledger, PROJECT)
    monkeypatch.setattr(news, "REASONS_EVERY", 0.0)
    assert reasons.news(summary(ledger, PROJECT)) == ""
    wait(ledger, V, "study_1/v_dicom.tar: reset")
    assert reasons.news(summary(ledger, PROJECT)) == "waiting: study_1/v_dicom.tar: reset"
    assert reasons.news(summary(ledger, PROJECT)) == ""
    # The same of another visit is no news.
    wait(ledger, W, "study_1/w_dicom.tar: reset")
    assert reasons.news(summary(ledger, PROJECT)) == ""


def test_reasons_are_not_asked_for_at_every_look(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process_queue.enqueue([V])
    wait(in_process_queue.ledger, V, "x")
    reasons = news.Reasons(in_process_queue.ledger, PROJECT)
    line = summary(in_process_queue.ledger, PROJECT)
    assert reasons.news(line)
    monkeypatch.setattr(
        in_process_queue.ledger, "visits", lambda *_: pytest.fail("asked again")
    )
    assert reasons.news(line) == ""


def test_what_the_broker_refuses_is_told_when_that_changes(
    opened: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "REASONS_EVERY", 0.0)
    broker = news.BrokerNews(opened)
    assert broker.news() == ""
    with out_of_memory(opened.client):
        assert broker.news() == "waiting: the broker has no memory left"
        assert broker.news() == ""
    assert broker.news() == "the broker accepts work"
    assert broker.news() == ""
