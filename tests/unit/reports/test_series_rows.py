"""The series of a project or visit: from the table, and from metadata that it lacks."""

from __future__ import annotations

import pytest
from support.metadata import write_metadata

from icfqueue.catalog import study
from icfqueue.core.errors import BadMetadata, UsageError
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.reports import series_rows
from icfqueue.store.directory import Store

PROJECT = "study_1"
LISTED, NEW = Visit(PROJECT, "v2"), Visit(PROJECT, "v1")


@pytest.fixture
def store(store: Store) -> Store:
    """A visit in the catalog, and one that is on its way there."""
    store.project_dir(PROJECT).mkdir()
    write_metadata(store, LISTED)
    settings = Settings(store_dir=store.root)
    study.add_visits(store, PROJECT, [LISTED], "https://x", settings)
    write_metadata(store, NEW, SeriesNumber=2, SeriesDescription="T1w")
    return store


def test_visits_that_are_not_in_the_table_are_read_from_their_metadata(
    store: Store,
) -> None:
    found = series_rows.of_project(store, PROJECT)
    assert [(row.visit, row.description) for row in found.rows] == [
        ("v1", "T1w"),
        ("v2", ""),
    ]
    assert found.untold == {}


def test_a_visit_that_cannot_be_read_is_told_and_keeps_none_from_its_rows(
    store: Store,
) -> None:
    store.path(NEW, NEW.metadata_dicoms).write_text("{")
    found = series_rows.of_project(store, PROJECT)
    assert [row.visit for row in found.rows] == ["v2"]
    assert {visit: type(error) for visit, error in found.untold.items()} == {
        NEW: BadMetadata
    }


def test_one_visit_is_read_from_its_metadata_or_from_the_table_without_them(
    store: Store,
) -> None:
    (row,) = series_rows.of_visit(store, NEW).rows
    assert (row.number, row.description, row.first_path) == (2, "T1w", "a/0")
    store.path(LISTED, LISTED.metadata_dicoms).unlink()
    (row,) = series_rows.of_visit(store, LISTED).rows
    assert row.images == 2


def test_what_is_shown_of_a_row_has_the_documented_names(store: Store) -> None:
    (row,) = series_rows.of_visit(store, NEW).rows
    assert series_rows.as_dict(row) == {
        "project": PROJECT,
        "visit": "v1",
        "series_number": 2,
        "series_description": "T1w",
        "protocol": "t1",
        "modality": "MR",
        "images": 2,
        "bytes": 18,
        "first_path": "a/0",
        "mr_acquisition_type": "",
        "pulse_sequence_name": "",
    }


def test_what_is_unknown_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="study_2 is not there"):
        series_rows.of_project(store, "study_2")
    with pytest.raises(UsageError, match="nothing is known"):
        series_rows.of_visit(store, Visit(PROJECT, "v9"))
