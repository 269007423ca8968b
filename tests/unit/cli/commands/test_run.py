"""``icfqueue run``: which workers are started, when, and how it ends.

Real runs are in ``tests/acceptance/test_project.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import click
import pytest
from support.command_line import Commands

from icfqueue.cli import progress
from icfqueue.cli.commands import run as command
from icfqueue.cli.live.asked import Asked
from icfqueue.cli.session import Session
from icfqueue.core.errors import UsageError
from icfqueue.ledger.record import State
from icfqueue.operations.worker_process import WorkerProcess


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with the workers; none is started, and the project ends as it is."""
    found: list[str] = []

    def start(force: WorkerProcess) -> None:
        found.append(f"started {force.concurrency}")

    def watch(_: Session, asked: Asked, __: WorkerProcess) -> int:
        count = asked.summary().counts[State.QUEUED]
        found.append(f"watched with {count} queued")
        return 0

    monkeypatch.setattr(WorkerProcess, "start", start)
    monkeypatch.setattr(progress, "run_and_watch", watch)
    return found


def test_workers_start_while_it_is_planned_what_to_do(
    icfqueue: Commands, followed: list[str]
) -> None:
    icfqueue.build(2)
    done = icfqueue("run", "study_1", "--jobs", "3")
    assert (done.code, done.out) == (0, "study_1: 2 enqueued\n")
    assert followed == ["started 3", "watched with 2 queued"]


@pytest.fixture
def finished(icfqueue: Commands) -> Callable[[], None]:
    """Return what has every visit be done, as its record says."""

    def finish() -> None:
        for found in icfqueue.records().values():
            steps = tuple(replace(step, state="done") for step in found.steps)
            entry = icfqueue.ledger.get(found.visit)
            icfqueue.ledger.put_many([(entry, replace(found, steps=steps))])

    return finish


def test_where_all_is_done_no_worker_is_started_ahead(
    icfqueue: Commands, followed: list[str], finished: Callable[[], None]
) -> None:
    """They are when something turns out to be missing, or if it is forced."""
    icfqueue.build()
    icfqueue("enqueue", "study_1")
    finished()
    icfqueue("run", "study_1")
    assert followed == ["watched with 1 queued"]
    finished()
    followed.clear()
    icfqueue("run", "study_1", "--force", "--jobs", "1")
    assert followed == ["started 1", "watched with 1 queued"]


@pytest.mark.parametrize(
    ("words", "named", "others"),
    [
        ([], None, True),
        (["visit_01"], ["visit_01"], True),
        (["*_0[12]"], ["visit_01", "visit_02"], True),
        (["visit_*"], ["visit_01", "visit_02", "visit_03"], False),
    ],
)
def test_it_answers_for_the_visits_named(
    icfqueue: Commands,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    named: list[str] | None,
    *,
    others: bool,
) -> None:
    found: list[Asked] = []

    def watch(_: Session, asked: Asked, __: WorkerProcess) -> int:
        found.append(asked)
        return 0

    monkeypatch.setattr(WorkerProcess, "start", lambda _: None)
    monkeypatch.setattr(progress, "run_and_watch", watch)
    icfqueue.build(3)
    icfqueue("run", "study_1", *words)
    (asked,) = found
    visits = None if asked.visits is None else [visit.id for visit in asked.visits]
    assert (visits, list(asked.names), asked.others) == (named, words, others)


def test_a_dry_run_starts_nothing(icfqueue: Commands, followed: list[str]) -> None:
    icfqueue.build()
    done = icfqueue("run", "study_1", "--dry-run")
    assert (done.code, followed) == (0, [])
    assert "nothing was changed" in done.out


@pytest.mark.parametrize(("ends", "code"), [(0, 1), (130, 130), (1, 1)])
def test_tarballs_that_were_left_out_end_it_with_1_if_all_else_is_well(
    icfqueue: Commands,
    followed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    ends: int,
    code: int,
) -> None:
    monkeypatch.setattr(progress, "run_and_watch", lambda *_: ends)
    icfqueue.build()
    (icfqueue.store.project_dir("study_1") / "x y_dicom.tar").touch()
    assert icfqueue("run", "study_1").code == code
    assert followed


def test_what_makes_no_sense_is_wrong_usage(
    icfqueue: Commands, followed: list[str]
) -> None:
    with pytest.raises(UsageError, match="no visits of study_1"):
        icfqueue("run", "study_1")
    with pytest.raises(click.BadParameter):
        icfqueue("run", "study_1", "--jobs", "0")
    assert followed == []


def test_a_process_for_each_core_that_may_be_used_is_the_default() -> None:
    (jobs,) = [option for option in command.run.params if option.name == "jobs"]
    assert jobs.default == len(os.sched_getaffinity(0))
