"""``icfqueue reconcile``: what was made anew, and how to go on with the rest."""

from __future__ import annotations

import pytest
from support.command_line import Commands
from support.outputs import record

from icfqueue.core.errors import UsageError
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.steps.job import Job

URL = "http://127.0.0.1:9"


def test_records_are_made_anew_and_the_rest_is_named(icfqueue: Commands) -> None:
    icfqueue.store.project_dir("study_1").mkdir()
    whole, half = Visit("study_1", "whole"), Visit("study_1", "half")
    record(Job(whole, Options(URL), icfqueue.store, Settings()), b"tarball")
    icfqueue.store.path(half, half.metadata_tarball).touch()
    done = icfqueue("reconcile", "study_1")
    assert done.code == 0
    assert [line.partition(" --store-dir")[0] for line in done.out.splitlines()] == [
        "half: no whole dataset for this store URL",
        "study_1: 1 records made anew, 0 were there, 1 visits not complete",
        "To go on with these: icfqueue enqueue study_1",
    ]
    assert icfqueue.records()["whole"].state == State.DONE


def test_where_all_is_known_nothing_is_left_to_say(icfqueue: Commands) -> None:
    icfqueue.build()
    icfqueue("enqueue", "study_1")
    done = icfqueue("reconcile", "study_1")
    said = "study_1: 0 records made anew, 1 were there, 0 visits not complete\n"
    assert (done.code, done.out) == (0, said)


def test_a_project_that_is_not_there_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="study_1 is not there"):
        icfqueue("reconcile", "study_1")
