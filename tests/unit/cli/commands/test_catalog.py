"""``icfqueue catalog``: the pages made anew, and which visits have none."""

from __future__ import annotations

import pytest
from support.command_line import Commands
from support.metadata import write_metadata

from icfqueue.catalog import study
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit

GOOD, BAD = Visit("study_1", "good"), Visit("study_1", "bad")


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A visit that has metadata."""
    icfqueue.store.project_dir("study_1").mkdir()
    write_metadata(icfqueue.store, GOOD)
    return icfqueue


def test_it_says_how_many_visits_are_where(icfqueue: Commands) -> None:
    done = icfqueue("catalog", "study_1")
    page = icfqueue.store.catalog_dir("study_1") / "index.html"
    assert (done.code, done.out) == (0, f"study_1: 1 visits in {page}\n")
    assert page.is_file()


def test_a_visit_that_has_no_page_ends_it_with_1_and_a_remedy(icfqueue: Commands) -> None:
    write_metadata(icfqueue.store, BAD)
    icfqueue.store.path(BAD, BAD.metadata_dicoms).write_text("{")
    done = icfqueue("catalog", "study_1")
    assert done.code == 1
    assert "1 visits in" in done.out
    first, hint = done.err.splitlines()
    assert first.startswith("bad: ")
    assert "--force" in hint
    url = "http://127.0.0.1:9"
    assert study.listed(icfqueue.store, "study_1", url) == {GOOD}


def test_an_unknown_project_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="is not there"):
        icfqueue("catalog", "study_2")
