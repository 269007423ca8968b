"""``icfqueue logs``: what all workers said, in order."""

from __future__ import annotations

import json

import pytest
from support.command_line import Commands
from support.ledger import claim, finish, put

from icfqueue.core.errors import BadTarball, UsageError
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.retry_policy import Fail

A, B = Visit("study_1", "sub-01"), Visit("study_1", "sub-02")


@pytest.fixture
def told(icfqueue: Commands) -> Commands:
    """One visit failed, another is under way, and one of another project."""
    for visit in (A, B, Visit("other", "v")):
        put(icfqueue.ledger, visit)
        claim(icfqueue.ledger, visit)
    error = BadTarball("cut \x1b[31mshort")
    icfqueue.ledger.update(A, lambda r: record.failed(r, error, Fail(), 1.0))
    finish(icfqueue.ledger, B)
    return icfqueue


def test_a_project_is_told_in_order_with_who_and_why(told: Commands) -> None:
    lines = told("logs", "study_1").out.splitlines()
    assert [line.split()[3:5] for line in lines] == [
        ["sub-01", "visit.enqueued"],
        ["sub-01", "step.began"],
        ["sub-02", "visit.enqueued"],
        ["sub-02", "step.began"],
        ["sub-01", "step.failed"],
        ["sub-02", "step.done"],
    ]
    assert lines[4].endswith(rf"fetch [{BadTarball('').cause}] cut \x1b[31mshort")
    assert lines[4].split()[2] == "host:1"


def test_some_visits_are_told_of_alone(told: Commands) -> None:
    assert len(told("logs", "study_1", "sub-02").out.splitlines()) == 3
    assert len(told("logs", "study_1", "sub-*").out.splitlines()) == 6


def test_programs_get_an_object_a_line(told: Commands) -> None:
    lines = told("logs", "study_1", "sub-01", "--format", "json").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert found[-1]["message"] == r"cut \x1b[31mshort"
    assert set(found[0]) == {
        *("t", "kind", "project", "visit", "step", "state", "worker", "cause", "message")
    }
    assert found[0]["t"].endswith("+00:00")


def test_nothing_kept_is_said_so(told: Commands) -> None:
    told.ledger.events.forget([A])
    done = told("logs", "study_1", "sub-01")
    assert (done.code, done.out) == (0, "")
    assert "No event of study_1 sub-01" in done.err
    assert f"`icfqueue status study_1 --store-dir {told.store.root} " in done.err


def test_a_visit_that_was_never_enqueued_is_wrong_usage_with_what_may_be_meant(
    told: Commands,
) -> None:
    with pytest.raises(UsageError, match="study_1/sub-1 was never enqueued") as caught:
        told("logs", "study_1", "sub-02", "sub-1")
    assert "did you mean sub-01?" in caught.value.hint
    with pytest.raises(UsageError, match="no visit of study_1 is called like"):
        told("logs", "study_1", "x*")


def test_an_unknown_project_is_wrong_usage(told: Commands) -> None:
    with pytest.raises(UsageError, match="ever enqueued"):
        told("logs", "study_2")
