"""``icfqueue cancel``: with or without workers; what has ended is left alone."""

from __future__ import annotations

import pytest
from support.command_line import Commands
from support.records import a_record

from icfqueue.core.errors import NothingYet, UsageError
from icfqueue.ledger.record import State


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A project with one visit in each state."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    return icfqueue


def test_everything_that_is_still_to_be_done_is_withdrawn(icfqueue: Commands) -> None:
    done = icfqueue("cancel", "study_1")
    assert (done.code, done.out) == (0, "study_1: 3 visits cancelled\n")
    counts = icfqueue.ledger.counts("study_1")
    assert (counts[State.CANCELLED], counts[State.DONE], counts[State.FAILED]) == (4, 1, 1)


def test_named_visits_that_have_ended_are_left_alone_and_named(icfqueue: Commands) -> None:
    done = icfqueue("cancel", "study_1", "queued", "done")
    assert done.out.splitlines() == [
        "study_1: 1 visit cancelled",
        "left alone (not active): done",
    ]
    assert icfqueue.records()["running"].state == State.RUNNING


def test_what_was_never_enqueued_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="study_1/none was never enqueued"):
        icfqueue("cancel", "study_1", "none")
    with pytest.raises(NothingYet):
        icfqueue.plain("cancel", "study_1", "--store-dir", str(icfqueue.store.root))
