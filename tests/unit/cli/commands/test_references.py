"""``icfqueue references``: how many were written, and what was left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import datasets
from support.command_line import Commands

from icfqueue.core.errors import UsageError
from icfqueue.steps.job import Job


def test_it_needs_no_broker_and_says_what_was_left_out(
    icfqueue: Commands, make_job: Callable[..., Job]
) -> None:
    for name in ("visit_1", "visit_2"):
        datasets.put_visit(make_job(name), [("a.dcm", datasets.images(1)[0])])
    where = ["--store-dir", str(icfqueue.store.root)]
    done = icfqueue.plain("references", "study_1", *where)
    assert (done.code, done.out) == (0, "study_1: references of 2 visits written\n")
    done = icfqueue.plain("references", "study_1", "visit_1", "visit_9", *where)
    assert (done.code, done.out) == (1, "study_1: references of 1 visit written\n")
    assert done.err == "visit_9: left out, it has no dataset\n"


def test_a_store_directory_that_is_not_there_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="is not there"):
        icfqueue.plain("references", "study_1", "--store-dir", "/nowhere")
