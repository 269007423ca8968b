"""``icfqueue retry``: failed visits go on, others are left alone and named."""

from __future__ import annotations

import os

import click
import pytest
from support.command_line import Commands
from support.records import a_record, failed_with

from icfqueue.core.causes import CAUSES
from icfqueue.core.errors import NothingYet, PermanentError, UsageError
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.store.beneath.sharing import user_name


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A project with one visit in each state."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    return icfqueue


def test_what_failed_goes_on(icfqueue: Commands) -> None:
    done = icfqueue("retry", "study_1")
    assert done.code == 0
    said, told = done.out.splitlines()
    assert said == "study_1: 1 visit goes on"
    assert told.startswith("No worker is running: start `icfqueue worker --store-dir ")
    assert ", or use `icfqueue run study_1 --store-dir " in told
    assert icfqueue.records()["failed"].state == State.QUEUED
    assert icfqueue.records()["cancelled"].state == State.CANCELLED


@pytest.mark.parametrize("state", ["cancelled", "waiting"])
def test_visits_of_another_state_go_on_if_that_is_said(
    icfqueue: Commands, state: str
) -> None:
    icfqueue.ledger.worker_lives("host:1")
    assert (
        icfqueue("retry", "study_1", "--state", state).out == "study_1: 1 visit goes on\n"
    )
    assert icfqueue.records()[state].state == State.QUEUED
    assert icfqueue.records()["failed"].state == State.FAILED


def test_named_visits_that_did_not_fail_are_left_alone_and_named(
    icfqueue: Commands,
) -> None:
    done = icfqueue("retry", "study_1", "failed", "done", "running")
    assert done.out.splitlines()[:2] == [
        "study_1: 1 visit goes on",
        "left alone (not failed): done, running",
    ]


def test_what_was_never_enqueued_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="study_1/none was never enqueued"):
        icfqueue("retry", "study_1", "failed", "none")
    assert icfqueue.records()["failed"].state == State.FAILED
    with pytest.raises(UsageError, match="nothing of project study_2"):
        icfqueue("retry", "study_2")
    with pytest.raises(click.BadParameter):
        icfqueue("retry", "study_1", "--state", "done")


def test_where_there_is_no_broker_none_is_made(icfqueue: Commands) -> None:
    with pytest.raises(NothingYet):
        icfqueue.plain("retry", "study_1", "--store-dir", str(icfqueue.store.root))


def test_visits_may_be_named_by_globs_and_a_project_by_its_folder(
    icfqueue: Commands,
) -> None:
    done = icfqueue("retry", "study_1/", "f*")
    assert done.out.startswith("study_1: 1 visit goes on\n")
    with pytest.raises(UsageError, match="no visit of study_1 is called like 'x"):
        icfqueue("retry", "study_1", "x*")


def test_only_what_failed_for_a_cause_goes_on(icfqueue: Commands) -> None:
    """The record of the fixture's failed visit names one."""
    cause = (icfqueue.records()["failed"].error or {})["cause"]
    other = next(code for code in CAUSES if code != cause)
    done = icfqueue("retry", "study_1", "--cause", other)
    there = f"there are: {cause} (1)"
    assert done.out == f"no visit of study_1 failed by '{other}'; {there}\n"
    done = icfqueue("retry", "study_1", "fa*", "--cause", other)
    assert done.out == f"no visit named of study_1 failed by '{other}'; {there}\n"
    done = icfqueue("retry", "study_1", "d*", "--cause", other)
    assert done.out.endswith(f"failed by '{other}', nor for another cause\n")
    done = icfqueue("retry", "study_1", "--cause", other, "--cause", cause)
    assert done.out.startswith("study_1: 1 visit goes on\n")


def test_a_cause_that_there_is_not_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(click.BadParameter, match=r"did you mean 'network'\?"):
        icfqueue("retry", "study_1", "--cause", "netwrk")


def test_who_accepts_identifiers_is_noted_and_others_are_left_alone(
    icfqueue: Commands,
) -> None:
    error = PermanentError("in 2 paths", hint="look", cause="identifiers")
    error.identifiers = Identifiers(2, 0, ("name",))
    held = failed_with(Visit("study_1", "held"), error)
    icfqueue.ledger.put_many([(None, held)])
    done = icfqueue("retry", "study_1", "held", "failed", "--accept-identifiers")
    assert done.out.startswith("study_1: 1 visit goes on\n")
    assert "left alone (not failed by identifiers): failed" in done.out
    found = icfqueue.records()["held"]
    assert found.state == State.QUEUED
    assert found.identifiers is not None
    assert found.identifiers == error.identifiers
    assert found.identifiers.accepted_by == user_name(os.getuid())
    assert icfqueue.records()["failed"].state == State.FAILED


@pytest.mark.parametrize("words", [("--cause", "network"), ("--state", "waiting")])
def test_identifiers_are_accepted_of_visits_that_failed_for_them_alone(
    icfqueue: Commands, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="failed for 'identifiers' alone"):
        icfqueue("retry", "study_1", "--accept-identifiers", *words)
