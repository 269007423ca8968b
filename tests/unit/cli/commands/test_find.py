"""``icfqueue find``: visits, the commands that get them, and what was left out."""

from __future__ import annotations

import csv
import io
import json

import pytest
from support.command_line import Commands
from support.metadata import write_metadata

from icfqueue.catalog import study
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit

V = Visit("study_1", "v1")


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    store = icfqueue.store
    store.project_dir("study_1").mkdir()
    write_metadata(store, V, ProtocolName="t1w_mpr", dicoms=3)
    study.add_visits(store, "study_1", [V], "https://x", Settings(store_dir=store.root))
    icfqueue.where = ["--store-dir", str(store.root)]
    return icfqueue


WANTED = "ProtocolName ILIKE '%T1W%' AND images > 2"


def test_each_visit_stands_with_the_command_that_clones_it(icfqueue: Commands) -> None:
    head, line = icfqueue("find", WANTED).out.splitlines()
    assert head.split() == ["project", "visit", "series", "images", "size", "command"]
    command = f"icfqueue clone {icfqueue.store.project_dir('study_1')}/v1"
    assert line.endswith(f"  {command}")
    found = {
        "project": "study_1",
        "visit": "v1",
        "series": 1,
        "images": 3,
        "bytes": 27,
        "command": command,
    }
    assert json.loads(icfqueue("find", WANTED, "--format", "json").out) == [found]
    (row,) = csv.DictReader(io.StringIO(icfqueue("find", WANTED, "--format", "csv").out))
    assert row == {name: str(value) for name, value in found.items()}


def test_where_a_store_url_is_set_the_visits_are_cloned_from_there(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICFQUEUE_STORE_URL", "https://x.org")
    line = icfqueue("find", WANTED).out.splitlines()[1]
    assert line.endswith("  icfqueue clone study_1 v1 --store-url https://x.org")


def test_nothing_found_is_said_and_no_fault(icfqueue: Commands) -> None:
    done = icfqueue("find", "images > 5000", "--project", "study_1")
    assert (done.code, done.out) == (0, "no visit has such a series\n")
    assert icfqueue("find", "images > 5000", "--format", "json").out == "[]\n"


def test_a_project_that_was_not_searched_is_said_with_a_remedy(icfqueue: Commands) -> None:
    (icfqueue.store.project_dir("study_1") / "series.parquet").unlink()
    done = icfqueue("find", WANTED)
    assert done.code == 1
    assert done.err.splitlines() == [
        "study_1 was left out: its table of series is missing or damaged",
        f"  icfqueue catalog study_1 --store-dir {icfqueue.store.root}",
    ]
