"""Files that are nearly tarballs of visits: named, with a command that works."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
from pathlib import Path

import pytest

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.near_misses import check_folder, like_project, near_misses, near_names


@pytest.mark.parametrize(
    ("name", "visit"),
    [
        ("visit1.tar", "visit1"),
        ("visit1-dicom.tar", "visit1"),
        ("visit1_DICOM.TAR", "visit1"),
        ("visit 1.tar", "visit_1"),
        ("it's 1_dicom.tar", None),
        ("visit2_dicom.tar.gz", "visit2"),
        ("visit2.tgz", "visit2"),
        ("it's 2.tar.gz", "it_s_2"),
        ("visit2_dicom.tar.bz2", "visit2"),
        ("visit2_dicom.tar.xz", "visit2"),
        ("visit2.txz", "visit2"),
    ],
)
def test_the_remedy_makes_it_the_tarball_of_a_visit(
    store: Store, folder: Path, name: str, visit: str | None
) -> None:
    packers = {"gz": gzip, "bz2": bz2, "xz": lzma}
    suffix = name.rpartition(".")[2].replace("tgz", "gz").replace("txz", "xz")
    content = packers[suffix].compress(b"a tar") if suffix in packers else b"a tar"
    (folder / name).write_bytes(content)
    found = near_misses(store, "study_1")
    if visit is None:
        # It is told as left out: it is called as tarballs are.
        assert found == []
        return
    (miss,) = found
    assert (miss.name, miss.visit) == (name, visit)
    subprocess.run(["sh", "-c", miss.remedy], check=True, timeout=20)
    assert store.read_bytes(folder / Visit("study_1", visit).tarball) == b"a tar"
    assert near_misses(store, "study_1") == []


@pytest.mark.parametrize(
    "name",
    [
        "visit1_dicom.tar",
        "visit1_dicom.tar.md5sum",
        ".visit1_dicom.tar.Xy3A",
        ".hidden.tar",
        "-rf.tar",
        "notes.txt",
        "archive.zip",
        "x\x1b[31m.tar",
    ],
)
def test_nothing_else_is_one(store: Store, folder: Path, name: str) -> None:
    (folder / name).touch()
    (folder / "folder.tar").mkdir()
    (folder / "link.tar").symlink_to("nowhere")
    assert near_misses(store, "study_1") == []


def test_a_project_without_a_folder_has_none(store: Store) -> None:
    assert near_misses(store, "study_1") == []


def test_a_project_that_is_not_there_is_guessed(store: Store, folder: Path) -> None:
    check_folder(store, "study_1")
    with pytest.raises(UsageError) as caught:
        check_folder(store, "study1")
    assert caught.value.hint == "did you mean study_1?"
    assert like_project(store, "else", "words") == "words"
    # It is called like itself, which is no guess.
    assert like_project(store, "study_1", "words") == "words"
    assert folder.is_dir()


def test_names_are_near_whatever_zeros_and_case_they_have() -> None:
    assert near_names("Visit_1", ["visit_01", "visit_10", "visit_11"]) == ["visit_01"]
    assert near_names("vist_01", ["visit_01", "other"]) == ["visit_01"]
    assert near_names("qqq", ["visit_01"]) == []
