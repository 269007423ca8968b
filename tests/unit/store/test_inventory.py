"""Which visits the store directory has anything of, and whether a tarball is one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from icfqueue.core.errors import BadId, PermanentError, UnsafePath
from icfqueue.core.visit import Visit
from icfqueue.store.beneath.walk import Links
from icfqueue.store.directory import Store
from icfqueue.store.inventory import OF_A_STORE, present, tarball_here

V = Visit("study_1", "v")


@pytest.mark.parametrize(
    "name",
    [
        *(V.tarball, V.metadata_tarball, V.metadata_dicoms, V.refs, V.repo_export),
        ".icfqueue/v/index.json",
    ],
)
def test_any_file_of_a_visit_tells_of_it(store: Store, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    assert present(store, "study_1") == [V]


def test_visits_are_told_once_and_by_id(store: Store, folder: Path) -> None:
    for name in ("b_dicom.tar", "a_XDLRA--refs", "a_dicom.tar", "b_metadata_dicoms.json"):
        (folder / name).touch()
    assert present(store, "study_1") == [Visit("study_1", "a"), Visit("study_1", "b")]


def test_what_is_no_visits_is_passed_over(store: Store, folder: Path) -> None:
    for name in ("README", "x y_dicom.tar", "_dicom.tar", "v_dicom.tar.md5sum"):
        (folder / name).touch()
    for name in ("catalog", ".icfqueue/.catalog"):
        (folder / name).mkdir(parents=True)
    (folder / ".icfqueue" / "note.txt").touch()
    assert present(store, "study_1") == []


@pytest.mark.parametrize("name", OF_A_STORE)
def test_what_commands_left_that_took_the_project_for_the_store_is_no_visit(
    store: Store, folder: Path, name: str
) -> None:
    (folder / ".icfqueue" / name).mkdir(parents=True)
    assert present(store, "study_1") == []


def test_a_project_that_is_not_there_has_none_and_a_bad_name_is_refused(
    store: Store,
) -> None:
    assert present(store, "study_2") == []
    with pytest.raises(BadId):
        present(store, "../study_1")


def test_the_size_of_a_tarball_is_told(store: Store, folder: Path) -> None:
    assert tarball_here(store, V) is None
    (folder / V.tarball).write_bytes(b"x" * 7)
    assert tarball_here(store, V) == 7
    (folder / V.tarball).rename(folder / "elsewhere")
    (folder / V.tarball).symlink_to("elsewhere")
    with pytest.raises(UnsafePath, match="symbolic link to elsewhere"):
        tarball_here(store, V)
    assert tarball_here(Store(store.root, Links.ALL), V) == 7


def test_a_link_that_leads_nowhere_is_no_tarball_and_no_room_for_one(
    store: Store, folder: Path
) -> None:
    """A download would go through the link, or in its place."""
    (folder / V.tarball).symlink_to("/mnt/gone")
    with pytest.raises(UnsafePath, match="link to /mnt/gone"):
        tarball_here(store, V)
    with pytest.raises(UnsafePath, match="gone, which is not there") as caught:
        tarball_here(Store(store.root, Links.ALL), V)
    assert "remove the link" in caught.value.hint


def test_a_link_to_itself_and_a_folder_are_no_tarball(store: Store, folder: Path) -> None:
    (folder / V.tarball).symlink_to(V.tarball)
    with pytest.raises(PermanentError, match="symbolic link"):
        tarball_here(store, V)
    (folder / V.tarball).unlink()
    (folder / V.tarball).mkdir()
    with pytest.raises(PermanentError, match="is not a file"):
        tarball_here(store, V)


@pytest.mark.usefixtures("folder")
def test_a_disk_in_trouble_is_not_taken_for_a_missing_tarball(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be downloaded again."""

    real = os.stat

    def stale(path: str, **more: Any) -> os.stat_result:
        if path == V.tarball:
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, **more)

    monkeypatch.setattr(os, "stat", stale)
    with pytest.raises(OSError, match="Stale"):
        tarball_here(store, V)
