"""Where a report goes, and the links between it and the catalog."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs import ids
from icfqueue.reports.publishing import links_from, links_within, write
from icfqueue.reports.report import Report, make_report
from icfqueue.store.directory import Store

PROJECT, URL = "study_1", "https://data.example.org"
V1 = f"#/dataset/{ids.dataset_id(URL, Visit(PROJECT, 'v1'))}/latest"


def test_within_the_catalog_links_are_relative(project: Store, made: Report) -> None:
    links = links_within(project, URL, made)
    assert links.name("v1") == f'<a href="index.html{V1}">v1</a>'
    assert links.name("v<9>") == "v&lt;9&gt;"


def test_from_the_store_directory_they_are_and_from_elsewhere_lead_to_the_store(
    project: Store, made: Report, tmp_path_factory: pytest.TempPathFactory
) -> None:
    above = links_from(project, URL, made, project.root / "report.html")
    assert above.catalog == "study_1/catalog/index.html"
    beside = links_from(project, URL, made, project.root / "other folder" / "r.html")
    assert beside.catalog == "../study_1/catalog/index.html"
    away = links_from(project, URL, made, tmp_path_factory.mktemp("x") / "r.html")
    assert away.catalog == f"{URL}/study_1/catalog/index.html"
    assert links_from(project, URL, made, None).catalog == away.catalog


def test_without_a_catalog_for_this_store_nothing_is_linked(
    project: Store, made: Report
) -> None:
    links = links_from(project, "https://other.example.org", made, Path("r.html"))
    assert (links.catalog, links.name("v1")) == (None, "v1")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    write(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write(target, "\ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_written_is_said_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "no where" / "report.html"
    with pytest.raises(UsageError, match="No such file or directory") as caught:
        write(target, "x")
    assert caught.value.hint == f"`mkdir -p '{tmp_path}/no where'`"
    assert str(target) in caught.value.message
    protected = tmp_path / "report.html"
    protected.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="Permission denied") as caught:
        write(protected, "new")
    assert "-o" in caught.value.hint
    assert protected.read_text() == "old"


def test_links_are_written_through_and_devices_stay(tmp_path: Path) -> None:
    """Of /dev/stdout and /dev/null a file would be made, to the harm of all."""
    link, real, pipe = (tmp_path / name for name in ("link", "real", "pipe"))
    link.symlink_to(real)
    write(link, "x")
    assert (link.is_symlink(), real.read_text()) == (True, "x")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "y")
    assert os.read(reader, 10) == b"y"
    os.close(reader)
    assert pipe.is_fifo()


def test_the_report_of_a_project_without_pages_can_be_made(store: Store) -> None:
    from support.metadata import write_metadata

    store.project_dir(PROJECT).mkdir()
    write_metadata(store, Visit(PROJECT, "v1"))
    found = make_report(store, PROJECT)
    assert links_within(store, URL, found).pages == {}
