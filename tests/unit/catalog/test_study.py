"""The catalog: what is written, when, and that it is whole at every moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.guards import LosingGuard
from support.metadata import write_metadata

from icfqueue.catalog import pages, site, study
from icfqueue.core.errors import LeaseLost, NotSeen, PermanentError, UsageError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.processes import faultpoint
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit, ids
from icfqueue.store.directory import Store

PROJECT = "study_1"
URL = "https://data.example.org"


@dataclass
class Study:
    """A project whose visits have metadata, and its catalog."""

    store: Store
    settings: Settings

    def visit(self, name: str, **metadata: Any) -> Visit:
        """Return a visit that has metadata, or has others from now on."""
        made = Visit(PROJECT, name)
        write_metadata(self.store, made, **metadata)
        return made

    def visits(self, *names: str, **metadata: Any) -> list[Visit]:
        return [self.visit(name, **metadata) for name in names]

    def add(self, visits: Sequence[Visit], guard: Guard = UNGUARDED) -> Results:
        return study.add_visits(
            self.store, PROJECT, visits, URL, self.settings, guard=guard
        )

    def rebuild(self) -> Results:
        return study.rebuild(self.store, PROJECT, URL, self.settings)

    @property
    def folder(self) -> Path:
        return self.store.catalog_dir(PROJECT)

    def page(self, visit: Visit) -> dict[str, Any]:
        return self._page(str(ids.dataset_id(URL, visit)))

    def study_page(self) -> dict[str, Any]:
        return self._page(pages.study_id(URL, PROJECT))

    def _page(self, dataset_id: str) -> dict[str, Any]:
        found = self.folder / pages.page_path(dataset_id)
        content: dict[str, Any] = json.loads(found.read_bytes())
        return content

    def has_page(self, visit: Visit) -> bool:
        return study.has_page(self.store, visit, URL)

    def listed(self) -> set[Visit]:
        return study.listed(self.store, PROJECT, URL)


@pytest.fixture
def the(store: Store, settings: Settings) -> Study:
    store.project_dir(PROJECT).mkdir()
    return Study(store, settings)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def inodes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in folder.rglob("*")}


def worked(results: Results) -> list[bool]:
    assert all(isinstance(result, Outcome) for result in results.values()), results
    return [result.worked for result in results.values() if isinstance(result, Outcome)]


def test_first_visit_makes_catalog_with_names_logo_and_colours(the: Study) -> None:
    visits = the.visits("v1")
    assert the.add(visits) == {visits[0]: Outcome(worked=True)}
    config = json.loads((the.folder / "config.json").read_text())
    assert config["catalog_name"] == the.settings.catalog_name
    assert config["link_color"] == the.settings.catalog_link_color
    assert config["link_hover_color"] == the.settings.catalog_link_hover_color
    assert not any(config["social_links"].values())
    assert (the.folder / config["logo_path"]).read_bytes() == site.OUR_LOGO.read_bytes()
    home = json.loads((the.folder / site.SUPER).read_text())
    assert home["dataset_id"] == pages.study_id(URL, PROJECT)
    assert sorted(path.name for path in the.store.project_dir(PROJECT).iterdir()) == [
        "catalog",
        "series.parquet",
        "v1_metadata_dicoms.json",
        "v1_metadata_tarball.json",
    ]


def test_visit_page_has_size_number_tags_keywords_and_clone_url(the: Study) -> None:
    visit = the.visit(
        "v1", dicoms=3, size=3 << 20, ProtocolName=["b", "a"], SeriesNumber=12
    )
    the.add([visit])
    found = the.page(visit)
    assert found["name"] == "v1"
    assert found["dataset_id"] == str(ids.dataset_id(URL, visit))
    assert found["url"] == deposit.clone_url(URL, visit)
    assert found["keywords"] == ["a", "b", "MR"]
    assert found["top_display"] == [
        {"name": "TAR file size", "value": "3 MB"},
        {"name": "Nr of DICOMs", "value": 3},
    ]
    shown = {one["name"]: one["content"] for one in found["additional_display"]}
    assert shown["DICOM"]["ProtocolName"] == ["a", "b"]
    assert shown["DICOM"]["SeriesNumber"] == [12]
    assert shown["DICOM"]["PulseSequenceName"] is None
    assert shown["Series"]["rows"] == [[12, "", "b\\a", "MR", 3, 27]]
    assert shown["Tarball"]["url"] == f"{URL}/{visit.storepath}"


def test_study_page_has_the_clone_command_once_a_dataset_of_all_visits_is_there(
    the: Study,
) -> None:
    the.add(the.visits("v1"))
    assert "url" not in the.study_page()
    (the.store.project_dir(PROJECT) / deposit.REFS).touch()
    the.add(the.visits("v1"))
    assert the.study_page()["url"] == deposit.clone_url(URL, PROJECT)
    (the.store.project_dir(PROJECT) / deposit.REFS).unlink()
    the.rebuild()
    assert "url" not in the.study_page()
    for write in (
        lambda: study.rebuild(the.store, PROJECT, URL, the.settings, superdataset=True),
        lambda: study.add_visits(
            the.store, PROJECT, the.visits("v2"), URL, the.settings, superdataset=True
        ),
    ):
        write()
        assert the.study_page()["url"] == deposit.clone_url(URL, PROJECT)
        the.rebuild()


def test_study_page_lists_all_visits_sorted_with_sums(the: Study) -> None:
    visits = the.visits("v2", "v10", "v1", dicoms=2, size=1 << 20)
    the.add(visits)
    found = the.study_page()
    assert [one["dataset_path"] for one in found["subdatasets"]] == ["v1", "v10", "v2"]
    assert [one["name"] for one in found["children"]] == ["v1", "v10", "v2"]
    assert [item["value"] for item in found["top_display"]] == ["3 MB", 6]
    assert the.listed() == set(visits)
    assert all(map(the.has_page, visits))


def test_again_changes_nothing_and_rewrites_no_file(the: Study) -> None:
    visits = the.visits("v0", "v1", "v2")
    assert worked(the.add(visits)) == [True] * 3
    before = inodes(the.folder)
    assert worked(the.add(visits)) == [False] * 3
    assert inodes(the.folder) == before


def test_without_visits_nothing_is_written_and_twice_the_same_is_one(the: Study) -> None:
    assert the.add([]) == {}
    assert not the.folder.exists()
    visit = the.visit("v1")
    assert the.add([visit, visit]) == {visit: Outcome(worked=True)}


def test_batches_in_any_order_give_the_files_of_one_go(the: Study) -> None:
    visits = [the.visit(f"v{number}", SeriesNumber=number) for number in range(7)]
    for batch in (visits[5:], visits[2:4], visits[:2], visits[4:5], visits[1:3]):
        the.add(batch)
    batched = tree(the.folder)
    the.rebuild()
    assert tree(the.folder) == batched


def test_replaced_visit_replaces_its_page_and_its_part_of_the_sums(the: Study) -> None:
    first = the.visit("v1", dicoms=2, ProtocolName="old")
    other = the.visit("v2", dicoms=1)
    the.add([first, other])
    again = the.visit("v1", dicoms=5, ProtocolName="new")
    assert the.add([again, other])[again] == Outcome(worked=True)
    assert the.page(again)["keywords"] == ["new", "MR"]
    found = the.study_page()
    assert found["top_display"][1]["value"] == 6
    assert "old" not in json.dumps(found)


def test_bad_metadata_of_one_visit_does_not_stop_the_others(the: Study) -> None:
    good, bad, missing = the.visit("good"), the.visit("bad"), Visit(PROJECT, "missing")
    the.store.path(bad, bad.metadata_dicoms).write_text('[{"pa')
    results = the.add([bad, good, missing])
    assert results[good] == Outcome(worked=True)
    for visit in (bad, missing):
        error = results[visit]
        assert isinstance(error, PermanentError)
        assert (error.project, error.visit) == (PROJECT, visit.id)
        assert error.step == "update_catalog"
    assert the.listed() == {good}


def test_no_catalog_is_made_when_every_visit_fails(the: Study) -> None:
    results = the.add([Visit(PROJECT, "v1")])
    assert len(results) == 1
    assert not the.folder.exists()


def test_rebuild_drops_visits_that_are_gone(the: Study) -> None:
    gone, left = the.visits("v1", "v2")
    the.add([gone, left])
    the.store.path(gone, gone.metadata_dicoms).unlink()
    assert list(the.rebuild()) == [left]
    assert not the.has_page(gone)
    assert the.listed() == {left}


@pytest.mark.parametrize("how", ["rebuild", "add"])
def test_the_page_of_a_deposit_without_metadata_files_is_kept(the: Study, how: str) -> None:
    visit = the.visit("v1")
    the.add([visit])
    before = tree(the.folder)
    for name in (visit.metadata_dicoms, visit.metadata_tarball):
        the.store.path(visit, name).unlink()
    the.store.path(visit, visit.refs).touch()
    if how == "rebuild":
        assert the.rebuild() == {}
    else:
        assert the.add([visit]) == {visit: Outcome(worked=False)}
    assert tree(the.folder) == before


@pytest.mark.parametrize("asked", ["v1", "v2", "v3"])
def test_a_catalog_of_the_layout_before_is_made_anew_without_losing_pages(
    the: Study, asked: str
) -> None:
    """Pages of deposits whose metadata files were removed cannot be made again."""
    bare, left = the.visits("v1", "v2")
    the.add([bare, left])
    for name in (bare.metadata_dicoms, bare.metadata_tarball):
        the.store.path(bare, name).unlink()
    the.store.path(bare, bare.refs).touch()
    the.visit("v3")
    page = the.folder / pages.page_path(pages.study_id(URL, PROJECT))
    page.write_text(
        page.read_text().replace('"source_version":"3"', '"source_version":"2"')
    )
    (the.folder / "assets/app.js").unlink()
    before = the.page(bare)
    done = the.add([Visit(PROJECT, asked)])
    assert worked(done) == [asked != bare.id]
    assert the.listed() == {bare, left, Visit(PROJECT, "v3")}
    assert the.page(bare) == before
    assert (the.folder / "assets/app.js").is_file()


def test_rebuild_without_project_folder_is_wrong_usage(
    store: Store, settings: Settings
) -> None:
    with pytest.raises(UsageError, match="not there"):
        study.rebuild(store, "nothing", URL, settings)
    assert not store.project_dir("nothing").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "index.html").unlink(),
        lambda folder: (folder / site.SUPER).write_text("{"),
        lambda folder: (folder / site.SUPER).write_text('{"dataset_id": "other"}'),
        lambda folder: (folder / pages.page_path(pages.study_id(URL, PROJECT))).write_text(
            '{"subda'
        ),
        lambda folder: (folder / pages.page_path(pages.study_id(URL, PROJECT))).write_text(
            "[]"
        ),
    ],
    ids=["site", "cut home", "other tool's", "cut study page", "odd study page"],
)
def test_damaged_catalog_is_made_anew_with_all_visits(
    the: Study, damage: Callable[[Path], object]
) -> None:
    visits = the.visits("v1", "v2")
    the.add(visits)
    whole = tree(the.folder)
    damage(the.folder)
    assert list(the.add(visits[:1])) == visits[:1]
    assert tree(the.folder) == whole


def test_folder_that_is_no_catalog_is_left_alone(the: Study) -> None:
    visit = the.visit("v1")
    the.folder.mkdir()
    (the.folder / "mine.txt").write_text("mine")
    with pytest.raises(PermanentError, match="no DataLad catalog"):
        the.add([visit])
    assert tree(the.folder) == {"mine.txt": b"mine"}


def test_lost_lock_publishes_nothing_more_and_leaves_no_litter(the: Study) -> None:
    visits = the.visits("v1", "v2", "v3")
    with pytest.raises(LeaseLost):
        the.add(visits[:1], LosingGuard(0))
    assert not the.folder.exists()
    the.add(visits[:1])
    with pytest.raises(LeaseLost):
        the.add(visits[1:], LosingGuard(1))
    assert the.has_page(visits[1])
    assert the.listed() == {visits[0]}
    assert not (the.store.project_dir(PROJECT) / ".icfqueue").exists()
    assert worked(the.add(visits[1:])) == [True, True]


SCRIPT = """
import sys; from pathlib import Path
from icfqueue.catalog import study
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
root, project, url, *ids = sys.argv[1:]
store, settings = Store(Path(root)), Settings(store_dir=Path(root))
study.add_visits(store, project, [Visit(project, id) for id in ids], url, settings)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["catalog", ".json"])
def test_death_while_publishing_leaves_what_the_next_try_completes(
    the: Study, moment: str, what: str
) -> None:
    """Killed around the first catalog's appearance, or around that of a page."""
    visits = the.visits("v1", "v2", "v3")
    if what == ".json":
        the.add(visits[:1])
    arguments = [str(the.store.root), PROJECT, URL, *(visit.id for visit in visits)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, faultpoint.VARIABLE: f"{moment} {what}"},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert all(map(the.has_page, the.listed()))
    the.add(visits)
    after = tree(the.folder)
    assert not (the.store.project_dir(PROJECT) / ".icfqueue").exists()
    the.rebuild()
    assert tree(the.folder) == after


def test_reader_never_sees_half_a_file_nor_a_listed_visit_without_page(
    the: Study,
) -> None:
    visits = the.visits(*(f"v{number:02d}" for number in range(30)))
    the.add(visits[:1])
    faults: list[str] = []
    rounds = 0
    end = threading.Event()

    def read() -> None:
        nonlocal rounds
        while not end.is_set():
            try:
                found = the.listed()
                assert found
                # Who is on its way through a folder that is swapped looks again.
                assert all(the.has_page(one) or the.has_page(one) for one in found)
                the.study_page()
                json.loads((the.folder / "config.json").read_text())
            except Exception as error:  # noqa: BLE001 - every one is a finding
                faults.append(repr(error))
            rounds += 1

    reader = threading.Thread(target=read)
    reader.start()
    for position in range(1, len(visits), 3):
        the.add(visits[position : position + 3])
    for _ in range(3):
        the.rebuild()
    end.set()
    reader.join()
    assert faults == []
    assert rounds > 10


def test_files_have_the_mode_that_the_umask_allows(the: Study) -> None:
    the.add(the.visits("v1"))
    mask = os.umask(0)
    os.umask(mask)
    for path in the.folder.rglob("*"):
        wanted = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == wanted & ~mask, path


def test_where_there_is_no_catalog_nothing_is_listed(the: Study) -> None:
    visit = the.visit("v1")
    assert the.listed() == set()
    assert not the.has_page(visit)
    the.add([visit])
    # One of another store is none of this one.
    assert study.listed(the.store, PROJECT, "https://other.example.org") == set()
    assert not study.has_page(the.store, visit, "https://other.example.org")


def test_metadata_that_a_step_has_written_are_waited_for(
    store: Store, settings: Settings
) -> None:
    store.project_dir("study_1").mkdir(exist_ok=True)
    missing = Visit("study_1", "not_seen")
    for vouched, kind in ((True, NotSeen), (False, PermanentError)):
        found = study.add_visits(
            store, "study_1", [missing], "https://x", settings, vouched=vouched
        )
        assert type(found[missing]) is kind
