"""``icfqueue series``: its three forms, and what cannot be told."""

from __future__ import annotations

import json

import pytest
from support.command_line import Commands
from support.metadata import write_metadata

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.reports.series_rows import FIELDS

V = Visit("study_1", "v1")


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    icfqueue.store.project_dir("study_1").mkdir()
    write_metadata(icfqueue.store, V, SeriesNumber=3, SeriesDescription="T1w")
    # It asks no broker.
    icfqueue.where = ["--store-dir", str(icfqueue.store.root)]
    return icfqueue


def test_a_table_for_people_and_rows_for_programs(icfqueue: Commands) -> None:
    head, line = icfqueue("series", "study_1").out.splitlines()
    assert head.split() == [
        "visit", "series", "description", "protocol", "modality", "images", "size"
    ]  # fmt: skip
    assert line.split() == ["v1", "3", "T1w", "t1", "MR", "2", "18", "bytes"]
    head, line = icfqueue("series", "study_1", "v1", "--format", "csv").out.splitlines()
    assert head.split(",") == list(FIELDS)
    assert line == "study_1,v1,3,T1w,t1,MR,2,18,a/0,,"
    (row,) = json.loads(icfqueue("series", "study_1", "--format", "json").out)
    assert list(row) == list(FIELDS)
    assert row["series_number"] == 3


def test_no_cell_of_the_csv_is_a_formula(icfqueue: Commands) -> None:
    write_metadata(icfqueue.store, V, SeriesDescription="=1+1", ProtocolName="@SUM(A1)")
    _, line = icfqueue("series", "study_1", "--format", "csv").out.splitlines()
    assert line.split(",")[3:5] == ["'=1+1", "'@SUM(A1)"]


def test_a_visit_that_cannot_be_read_is_said_with_a_remedy(icfqueue: Commands) -> None:
    icfqueue.store.path(V, V.metadata_dicoms).write_text("{")
    done = icfqueue("series", "study_1")
    assert done.code == 1
    first, hint = done.err.splitlines()
    assert first.startswith("v1: ")
    assert "--force" in hint


def test_a_project_or_visit_that_is_mistyped_is_guessed(icfqueue: Commands) -> None:
    with pytest.raises(UsageError) as caught:
        icfqueue("series", "study_2")
    assert caught.value.hint == "did you mean study_1?"
    with pytest.raises(UsageError) as caught:
        icfqueue("series", "study_1", "v01")
    assert caught.value.hint.startswith("did you mean v1? ")
