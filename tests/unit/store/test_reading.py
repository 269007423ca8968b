"""What is in the store directory: looked at without following links, unless asked to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.reading import counted_opens

from icfqueue.core.errors import UnsafePath
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.store.beneath.walk import Links
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint

V = Visit("study_1", "v")


def test_the_settings_say_where_it_is_and_which_links_are_followed(tmp_path: Path) -> None:
    found = Store.of(Settings(store_dir=tmp_path, store_links="projects"))
    assert (found.root, found.beneath.links) == (tmp_path, Links.PROJECTS)


LOOKS: dict[str, Callable[[Store, Path], object]] = {
    "stat": lambda store, path: store.stat(path),
    "exists": lambda store, path: store.exists(path),
    "fingerprint": lambda store, path: store.fingerprint(path),
    "open_read": lambda store, path: store.open_read(path),
    "read_bytes": lambda store, path: store.read_bytes(path),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("at", ["a link", "below a link"])
def test_no_look_leads_through_a_link(
    store: Store, folder: Path, tmp_path: Path, look: str, at: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "to").symlink_to(tmp_path)
    path = folder / ("file" if at == "a link" else "to/secret")
    with pytest.raises(UnsafePath, match="is a symbolic link"):
        LOOKS[look](store, path)
    assert store.holds(path)


def test_what_is_there_is_told_and_what_is_not(store: Store, folder: Path) -> None:
    (folder / "x").write_text("abc")
    path = folder / "x"
    assert store.exists(path)
    assert store.holds(path)
    assert store.read_bytes(path) == b"abc"
    assert store.fingerprint(path) == Fingerprint.of(path.stat())
    assert store.is_folder(folder)
    assert not store.is_folder(path)
    for gone in (folder / "y", store.root / "study_2/y", path / "y"):
        assert not store.exists(gone)
        assert not store.holds(gone)
        assert not store.is_folder(gone)
        assert store.listing(gone) == []
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            store.open_read(gone)


def test_the_store_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real/study_1").mkdir(parents=True)
    (tmp_path / "store").symlink_to("real")
    store = Store(tmp_path / "store")
    assert store.exists(store.root)
    assert store.projects() == ["study_1"]


@pytest.mark.parametrize("links", Links)
def test_links_are_visits_and_projects_only_where_the_site_says_so(
    store: Store, folder: Path, tmp_path: Path, links: Links
) -> None:
    (tmp_path / "archive.tar").touch()
    (folder / "a_dicom.tar").touch()
    (folder / "b_dicom.tar").symlink_to(tmp_path / "archive.tar")
    (folder / "c_dicom.tar").symlink_to("nowhere")
    (store.root / "study_2").symlink_to(folder)
    (store.root / ".icfqueue").mkdir()
    chosen = Store(store.root, links)
    followed = links == Links.ALL
    assert [visit.id for visit in chosen.visits("study_1")] == ["a", "b"][: 1 + followed]
    unusable = ["b_dicom.tar", "c_dicom.tar"]
    assert chosen.unusable("study_1") == unusable[followed:]
    projects = ["study_1"] if links == Links.NONE else ["study_1", "study_2"]
    assert chosen.projects() == projects


def test_a_fifo_for_a_tarball_is_no_visit(store: Store, folder: Path) -> None:
    os.mkfifo(folder / "a_dicom.tar")
    assert store.visits("study_1") == []
    assert store.unusable("study_1") == ["a_dicom.tar"]
    with pytest.raises(UnsafePath, match="neither a file nor a folder"):
        store.open_read(folder / "a_dicom.tar")


def test_a_missing_folder_has_no_visits(store: Store) -> None:
    assert store.visits("study_9") == []
    assert store.unusable("study_9") == []
    assert store.room() > 0
    assert V.tarball not in [entry.name for entry in store.listing(store.root)]


def test_where_everything_lies_is_told_by_the_ids_alone(store: Store) -> None:
    visit, root = Visit("study_1", "v1"), store.root
    assert store.path(visit, visit.refs) == root / "study_1/v1_XDLRA--refs"
    assert store.work_dir(visit) == root / "study_1/.icfqueue/v1"
    assert store.catalog_dir("study_1") == root / "study_1/catalog"
    # No visit id starts with a dot.
    assert Visit.named("study_1", store.catalog_work_dir("study_1").name) is None


def test_to_look_again_needs_nothing_to_be_there(store: Store, folder: Path) -> None:
    store.look_again(folder)
    store.look_again(folder / "gone/further")
    (folder / "link").symlink_to("/")
    store.look_again(folder / "link/etc")
    with counted_opens() as opens:
        store.look_again(folder)
    # The store directory and the project are opened for reading, not only passed.
    assert opens[Path().name] == 2
