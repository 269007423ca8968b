"""A project whose visits differ, and the report on it."""

from __future__ import annotations

import pytest
from support.metadata import write_metadata

from icfqueue.catalog import study
from icfqueue.catalog.series_file import SeriesRow
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.reports.disk import Taken, Usage
from icfqueue.reports.report import Report, report_on
from icfqueue.reports.series_rows import ProjectSeries
from icfqueue.reports.work import Work
from icfqueue.store.directory import Store

PROJECT, URL = "study_1", "https://data.example.org"
EVIL = "<img src=x onerror=alert(1)>\x1b&"


@pytest.fixture
def project(store: Store) -> Store:
    """Four visits with T1w, one of them short; one with a series of an evil name, too."""
    store.project_dir(PROJECT).mkdir()
    visits = [Visit(PROJECT, f"v{number}") for number in range(1, 5)]
    for visit in visits:
        given = {"SeriesNumber": 1, "SeriesDescription": "T1w", "dicoms": 5}
        if visit.id == "v2":
            given["dicoms"] = 3
        if visit.id == "v3":
            given["SeriesDescription"] = EVIL
        write_metadata(store, visit, **given)
    settings = Settings(store_dir=store.root)
    study.add_visits(store, PROJECT, visits, URL, settings)
    return store


@pytest.fixture(scope="session")
def made() -> Report:
    """The report on that project, without the disk."""
    rows = [
        SeriesRow(PROJECT, f"v{n}", 1, "T1w", "t1", "MR", "", "", 5, 45, "a/0")
        for n in range(1, 5)
    ]
    rows[1] = rows[1]._replace(images=3)
    rows[2] = rows[2]._replace(description=EVIL)
    usage = Usage([Taken("tarballs", 4, 4_000_000)], 12_345.0)
    return report_on(ProjectSeries(rows), Work(), usage)
