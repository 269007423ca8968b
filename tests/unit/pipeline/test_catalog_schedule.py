"""When a study's catalog is written, and for whom nobody waits."""

from __future__ import annotations

import pytest
from support.in_process_queue import InProcessQueue
from support.waiting import pass_time

from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline.catalog_schedule import (
    LARGEST_BATCH,
    MEMORY,
    batch_size,
    nobody_else_comes,
    note_failure,
    note_success,
    send_flush,
)

V = Visit("study_1", "v")
OTHER = Visit("study_1", "w")


@pytest.fixture
def enqueued(in_process_queue: InProcessQueue) -> InProcessQueue:
    """One visit is enqueued; its message is gone."""
    in_process_queue.enqueue([V])
    in_process_queue.take()
    return in_process_queue


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("fetch", False),
        ("export_repo", False),
        # Ready itself, or beyond the catalog: nobody need wait for it.
        ("update_catalog", True),
        ("cleanup", True),
    ],
)
def test_the_catalog_waits_for_visits_that_are_still_on_their_way(
    enqueued: InProcessQueue, step: str, expected: bool
) -> None:
    enqueued.enqueue([OTHER])
    enqueued.advance(OTHER, "update_catalog")
    enqueued.advance(V, step)
    assert nobody_else_comes(enqueued.ledger, "study_1") is expected


def test_where_nobody_is_ready_there_is_nothing_to_be_written(
    enqueued: InProcessQueue,
) -> None:
    enqueued.advance(V, "cleanup")
    assert not nobody_else_comes(enqueued.ledger, "study_1")


def test_a_visit_that_was_withdrawn_is_not_waited_for(enqueued: InProcessQueue) -> None:
    enqueued.enqueue([OTHER])
    enqueued.advance(OTHER, "update_catalog")
    assert not nobody_else_comes(enqueued.ledger, "study_1")
    enqueued.producer.cancel([V])
    assert nobody_else_comes(enqueued.ledger, "study_1")


def test_one_of_two_that_is_ready_waits_for_the_other(enqueued: InProcessQueue) -> None:
    enqueued.enqueue([OTHER])
    enqueued.advance(V, "update_catalog")
    assert not nobody_else_comes(enqueued.ledger, "study_1")


def test_one_message_stands_for_all_visits_that_are_ready(
    enqueued: InProcessQueue,
) -> None:
    enqueued.enqueue([OTHER])
    enqueued.take()
    for visit in (V, OTHER):
        enqueued.advance(visit, "update_catalog")
    assert send_flush(enqueued.ledger, enqueued.messages, "study_1")
    assert enqueued.take() == ("update_catalog", "study_1", "v", 1)
    assert enqueued.take() is None


@pytest.mark.parametrize("step", ["fetch", "cleanup"])
def test_where_nobody_waits_no_message_is_sent(enqueued: InProcessQueue, step: str) -> None:
    enqueued.advance(V, step)
    assert not send_flush(enqueued.ledger, enqueued.messages, "study_1")
    assert enqueued.take() is None


def test_a_visit_that_is_being_written_already_gets_no_message(
    enqueued: InProcessQueue,
) -> None:
    enqueued.advance(V, "update_catalog")
    enqueued.hold(V)
    assert not send_flush(enqueued.ledger, enqueued.messages, "study_1")
    assert enqueued.take() is None


# How many at once


def test_after_a_failure_half_as_many_are_taken_until_all_is_well(
    ledger: RedisLedger,
) -> None:
    assert batch_size(ledger, "p") == LARGEST_BATCH
    assert note_failure(ledger, "p", 11) == 1
    assert batch_size(ledger, "p") == 5
    # Of a batch that was larger before: the limit stands.
    assert note_failure(ledger, "p", 200) == 2
    assert batch_size(ledger, "p") == 2
    for failures in (3, 4, 5):
        assert note_failure(ledger, "p", 1) == failures
        assert batch_size(ledger, "p") == 1
    assert batch_size(ledger, "q") == LARGEST_BATCH
    note_success(ledger, "p")
    assert batch_size(ledger, "p") == LARGEST_BATCH
    assert note_failure(ledger, "p", 200) == 1


def test_failures_are_forgotten_after_a_while(ledger: RedisLedger) -> None:
    note_failure(ledger, "p", 10)
    pass_time(ledger.client, MEMORY + 1)
    assert batch_size(ledger, "p") == LARGEST_BATCH


@pytest.mark.parametrize("text", ["", "x", "1 2 3", "-1 -1", "0"])
def test_a_note_that_is_none_is_no_limit(ledger: RedisLedger, text: str) -> None:
    ledger.notes.put("batch:p", text)
    assert batch_size(ledger, "p") == LARGEST_BATCH
