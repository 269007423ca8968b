"""``icfqueue report``: a page in this folder or in the catalog, or rows for programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from support.command_line import Commands
from support.metadata import write_metadata

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit


@pytest.fixture
def icfqueue(
    icfqueue: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """Three visits with a catalog, the second one short."""
    store = icfqueue.store
    store.project_dir("study_1").mkdir()
    for name, dicoms in {"v1": 5, "v2": 3, "v3": 5}.items():
        write_metadata(store, Visit("study_1", name), dicoms=dicoms)
    icfqueue("catalog", "study_1")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return icfqueue


def test_a_page_appears_in_this_folder_or_where_it_is_wanted(icfqueue: Commands) -> None:
    done = icfqueue("report", "study_1")
    assert done.code == 0
    expected = "study_1: 1 of 3 visits differ; the report is in study_1_report.html\n"
    assert done.out == expected
    text = Path("study_1_report.html").read_text()
    assert "3 images instead of 5" in text
    assert 'href="http://127.0.0.1:9/study_1/catalog/index.html#/dataset/' in text
    icfqueue("report", "study_1", "-o", "other.html", "--like", "v2")
    assert "is compared with <b>v2</b>" in Path("other.html").read_text()


def test_published_it_lies_in_the_catalog_and_links_within(icfqueue: Commands) -> None:
    done = icfqueue("report", "study_1", "--publish")
    target = icfqueue.store.catalog_dir("study_1") / "report.html"
    assert done.out.endswith(f"the report is in {target}\n")
    assert '<a href="index.html#/dataset/' in target.read_text()


def test_with_another_store_url_it_says_why_nothing_is_linked_or_published(
    icfqueue: Commands,
) -> None:
    """To make the catalog anew for that URL would be no remedy."""
    ours, other = icfqueue.where[-1], "https://other.example.org"
    icfqueue.where[-1] = other
    done = icfqueue("report", "study_1")
    said = f"nothing is linked: the catalog of study_1 is not for {other}"
    assert (done.code, done.err.splitlines()[0]) == (0, said)
    with pytest.raises(UsageError, match="is not for") as caught:
        icfqueue("report", "study_1", "--publish")
    readme = icfqueue.store.catalog_dir("study_1") / "README.md"
    assert f"{readme} has" in caught.value.hint
    assert ours in readme.read_text()
    icfqueue.where[-1] = ours
    assert icfqueue("report", "study_1").err == ""


def test_programs_get_the_visits_that_differ(icfqueue: Commands) -> None:
    (row,) = csv.DictReader(
        io.StringIO(icfqueue("report", "study_1", "--format", "csv").out)
    )
    assert (row["visit"], row["kind"], row["words"]) == (
        "v2",
        "short",
        "3 images instead of 5",
    )
    told = json.loads(icfqueue("report", "study_1", "--format", "json").out)
    assert [one["visit"] for one in told["differing"]] == ["v2"]
    assert list(Path().iterdir()) == []


def test_standard_output_gets_the_page_and_nothing_else(icfqueue: Commands) -> None:
    done = icfqueue("report", "study_1", "-o", "-")
    assert done.code == 0
    assert done.out.startswith("<!doctype html>")
    assert done.out.endswith("</html>\n")
    assert 'href="http://127.0.0.1:9/study_1/catalog/index.html#/dataset/' in done.out
    rows = icfqueue("report", "study_1", "--format", "csv")
    assert icfqueue("report", "study_1", "--format", "csv", "-o", "-").out == rows.out
    assert list(Path().iterdir()) == []


def test_a_file_for_rows_is_refused_with_the_command_that_makes_one(
    icfqueue: Commands,
) -> None:
    with pytest.raises(UsageError, match="leave out -o") as caught:
        icfqueue("report", "study_1", "--format", "csv", "-o", "my rows.csv")
    assert caught.value.hint == "`icfqueue report study_1 --format csv > 'my rows.csv'`"


def test_what_cannot_be_done_is_refused(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="leave out"):
        icfqueue("report", "study_1", "--publish", "-o", "x.html")
    with pytest.raises(UsageError, match="is not there"):
        icfqueue("report", "study_9")
    with pytest.raises(UsageError, match="nothing is known"):
        icfqueue("report", "study_1", "--like", "v9")


def test_a_visit_that_cannot_be_read_ends_it_with_1(icfqueue: Commands) -> None:
    bad = Visit("study_1", "v9")
    write_metadata(icfqueue.store, bad)
    icfqueue.store.path(bad, bad.metadata_dicoms).write_text("{")
    done = icfqueue("report", "study_1")
    assert done.code == 1
    assert done.err.startswith("v9: ")
    assert Path("study_1_report.html").exists()
