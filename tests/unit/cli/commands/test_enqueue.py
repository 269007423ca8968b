"""``icfqueue enqueue``: handed over to the workers, and back."""

from __future__ import annotations

import shlex

import click
import pytest
from support.command_line import Commands
from support.records import a_record

from icfqueue.core.errors import Unreachable, UsageError
from icfqueue.ledger.record import State


def test_all_visits_that_are_here_are_enqueued(icfqueue: Commands) -> None:
    icfqueue.build(2)
    done = icfqueue("enqueue", "study_1")
    assert done.code == 0
    where = shlex.join(icfqueue.where)
    said, told = done.out.splitlines()
    assert said == "study_1: 2 enqueued"
    assert told == (
        f"No worker is running: start `icfqueue worker {where}`, or use `icfqueue run "
        f"study_1 {where}`."
    )
    assert [found.state for found in icfqueue.records().values()] == [State.QUEUED] * 2


def test_where_a_worker_lives_none_is_missed(icfqueue: Commands) -> None:
    icfqueue.build()
    icfqueue.ledger.worker_lives("host:1")
    assert "No worker" not in icfqueue("enqueue", "study_1").out
    # Nor where there is nothing to do.
    again = icfqueue("enqueue", "study_1")
    assert again.out == "study_1: 0 enqueued, 1 under way already\n"


def test_what_was_asked_for_travels_in_the_record(icfqueue: Commands) -> None:
    (name,) = icfqueue.build()
    icfqueue("enqueue", "study_1", name, "--force", "--no-catalog", "--priority", "3")
    (found,) = icfqueue.records().values()
    assert (found.visit.id, found.priority) == (name, 3)
    assert (found.options.force, found.options.catalog) == (True, False)
    assert found.options.store_url == "http://127.0.0.1:9"


def test_a_dry_run_says_what_and_why_and_changes_nothing(icfqueue: Commands) -> None:
    icfqueue.build()
    done = icfqueue("enqueue", "study_1", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines() == [
        "visit     to do    why",
        "visit_01  process  new",
        "1 visit: 1 to be processed; nothing was changed",
    ]
    assert icfqueue.ledger.projects() == []


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_tarballs_that_were_left_out_end_it_with_1(
    icfqueue: Commands, more: list[str]
) -> None:
    icfqueue.build()
    (icfqueue.store.project_dir("study_1") / "x y_dicom.tar").touch()
    done = icfqueue("enqueue", "study_1", *more)
    assert done.code == 1
    assert "left out: 'x y_dicom.tar'" in done.err


def test_visits_come_from_standard_input(icfqueue: Commands) -> None:
    names = icfqueue.build(3)
    listed = f"{names[0]}\n# no\n{names[2]}\n"
    icfqueue("enqueue", "study_1", "--visits-file", "-", stdin=listed)
    assert list(icfqueue.records()) == [names[0], names[2]]


def test_a_visit_that_is_nowhere_and_no_store_to_be_asked_is_refused(
    icfqueue: Commands,
) -> None:
    icfqueue.build()
    with pytest.raises(Unreachable, match="v7: not here, and http"):
        icfqueue("enqueue", "study_1", "visit_01", "v7")
    assert icfqueue.records() == {}


def test_what_is_recorded_goes_on_where_no_tarball_is_here(icfqueue: Commands) -> None:
    """As after Ctrl-C while it was downloaded."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    done = icfqueue("enqueue", "study_1", "--dry-run")
    planned = dict(line.split()[:2] for line in done.out.splitlines()[1:-1])
    assert planned == {
        **dict.fromkeys(("queued", "running", "waiting"), "nothing"),
        **dict.fromkeys(("failed", "cancelled", "done"), "process"),
    }


def test_without_a_visit_or_a_project_it_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="no visits of study_1"):
        icfqueue("enqueue", "study_1")
    with pytest.raises(click.MissingParameter):
        icfqueue("enqueue")
