"""The report as data: what is in it, and its forms for programs."""

from __future__ import annotations

import pytest
from support.metadata import write_metadata

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.reports.differences import Kind
from icfqueue.reports.report import CSV_FIELDS, Report, as_json, csv_rows, make_report
from icfqueue.store.directory import Store

PROJECT = "study_1"


def test_it_has_the_visits_that_differ_each_with_what(project: Store) -> None:
    made = make_report(project, PROJECT)
    found = {
        visit: [(one.kind, one.words) for one in some]
        for visit, some in made.differing.items()
    }
    assert found == {
        "v2": [(Kind.SHORT, "3 images instead of 5")],
        "v3": [(Kind.MISSING, "missing"), (Kind.UNEXPECTED, "1 series, 5 images")],
    }
    assert (len(made.scans), made.images, made.untold) == (4, 18, {})


def test_its_rows_and_its_json_say_the_same(made: Report) -> None:
    rows = list(csv_rows(made))
    assert all(list(row) == list(CSV_FIELDS) for row in rows)
    assert rows[0] == {
        "project": PROJECT,
        "visit": "v2",
        "kind": "short",
        "protocol": "T1w",
        "series_numbers": "1",
        "words": "3 images instead of 5",
    }
    told = as_json(made)
    assert [(one["visit"], len(one["differences"])) for one in told["differing"]] == [
        ("v2", 1),
        ("v3", 2),
    ]
    assert told["pattern"] == [
        {"protocol": "T1w", "images": [5], "least_images": [5], "visits": 3}
    ]
    assert (told["visits"], told["like"], told["has_usual_order"]) == (4, None, True)


def test_a_visit_can_be_the_pattern(project: Store) -> None:
    assert list(make_report(project, PROJECT, like="v2").differing) == ["v3"]


def test_a_visit_that_cannot_be_read_is_named(project: Store) -> None:
    bad = Visit(PROJECT, "v9")
    write_metadata(project, bad)
    project.path(bad, bad.metadata_dicoms).write_text("{")
    made = make_report(project, PROJECT)
    assert list(made.untold) == [bad]
    assert as_json(made)["unknown"] == ["v9"]


def test_without_any_series_there_is_no_report(store: Store) -> None:
    store.project_dir("empty").mkdir()
    with pytest.raises(UsageError, match="no series of empty"):
        make_report(store, "empty")
