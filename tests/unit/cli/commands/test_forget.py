"""``icfqueue forget``: records and work folders go, outputs stay."""

from __future__ import annotations

import pytest
from support.command_line import Commands
from support.records import a_record

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A project with one visit in each state, each with a work folder and an output."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    for state in State:
        visit = Visit("study_1", state.value)
        icfqueue.store.make_dir(icfqueue.store.work_dir(visit))
        icfqueue.store.path(visit, visit.refs).write_text("x")
    return icfqueue


def test_the_record_and_the_work_folder_are_gone_and_the_output_is_not(
    icfqueue: Commands,
) -> None:
    done = icfqueue("forget", "study_1", "failed", "queued")
    assert (done.code, done.out) == (0, "study_1: 2 records removed\n")
    assert set(icfqueue.records()) == {*State} - {State.FAILED, State.QUEUED}
    visit = Visit("study_1", "failed")
    assert not icfqueue.store.work_dir(visit).exists()
    assert icfqueue.store.path(visit, visit.refs).exists()


def test_a_visit_at_work_is_left_alone_unless_it_is_forced(icfqueue: Commands) -> None:
    done = icfqueue("forget", "study_1", "running", "nobody", "done")
    assert done.code == 1
    assert done.out == "study_1: 1 record removed\n"
    assert done.err.splitlines() == [
        "running: left alone, it is being worked on: --force takes it away",
        "nobody: left alone, it was never enqueued",
    ]
    done = icfqueue("forget", "study_1", "running", "--force")
    assert (done.code, "running" in icfqueue.records()) == (0, False)


def test_a_record_that_cannot_be_read_can_be_forgotten(icfqueue: Commands) -> None:
    icfqueue.ledger.client.hset("icfqueue:visit:study_1/failed", "r", "no JSON")
    assert icfqueue("forget", "study_1", "failed").code == 0
    assert icfqueue("status", "study_1", "--state", "failed").code == 0


def test_globs_take_what_is_recorded(icfqueue: Commands) -> None:
    done = icfqueue("forget", "study_1", "[dq]*", "failed_dicom.tar")
    assert (done.code, done.out) == (0, "study_1: 3 records removed\n")
