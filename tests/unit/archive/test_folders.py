"""The files of folders come in one order, and what is no file is told."""

from __future__ import annotations

import os
import socket
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.folders import make_folder

from icfqueue.archive.folders import sources
from icfqueue.archive.refusals import Refusals
from icfqueue.core.errors import BadFolder


def names(*folders: Path) -> list[str]:
    refused = Refusals("refused")
    found = [source.name for source in sources(folders, refused)]
    refused.raise_if_any()
    return found


def test_the_order_is_that_of_the_bytes_of_whole_paths(tmp_path: Path) -> None:
    given = ["a/b", "a-b", "ab", "a.d/x", "A", "ä", "z/y/x", "Z", "z/y-x", " ", "~"]
    found = names(make_folder(tmp_path, dict.fromkeys(given, b"")))
    assert found == sorted(given, key=os.fsencode)
    assert found[:3] == [" ", "A", "Z"]
    assert found[3:7] == ["a-b", "a.d/x", "a/b", "ab"]


parts = st.sampled_from(["a", "b", "a-", "a.", "a0", "ü", "B"])


@given(paths=st.sets(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=8))
def test_any_tree_comes_in_that_order(
    paths: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {
        path for path in paths if not any(other.startswith(f"{path}/") for other in paths)
    }
    folder = make_folder(tmp_path_factory.mktemp("tree"), dict.fromkeys(files, b""))
    assert names(folder) == sorted(files, key=os.fsencode)


def test_folders_are_laid_over_each_other_in_any_order(tmp_path: Path) -> None:
    folders = [
        make_folder(tmp_path / "one", {"MR1/1": b"", "MR2/1": b"", "z": b""}),
        make_folder(tmp_path / "two", {"MR1/2": b"", "a": b""}),
        make_folder(tmp_path / "three", {"MR1/0": b""}),
    ]
    wanted = ["MR1/0", "MR1/1", "MR1/2", "MR2/1", "a", "z"]
    for order in permutations(folders):
        assert names(*order) == wanted


@pytest.mark.parametrize(
    ("one", "other"), [("MR1/1", "MR1/1"), ("MR1", "MR1/1"), ("MR1/1", "MR1")]
)
def test_a_name_that_two_folders_have_is_refused(
    tmp_path: Path, one: str, other: str
) -> None:
    """The same file twice, and a file that would be a folder as well."""
    folders = [
        make_folder(tmp_path / "1", {one: b""}),
        make_folder(tmp_path / "2", {other: b""}),
    ]
    with pytest.raises(BadFolder, match="in two of the folders"):
        names(*folders)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    make_folder(tmp_path, {"real/1": b""})
    (tmp_path / "link").symlink_to("real/1")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "nowhere").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path may be 107 bytes long
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        with pytest.raises(BadFolder) as caught:
            names(tmp_path)
    assert "3 × a symbolic link" in caught.value.message  # noqa: RUF001 - as it is printed
    assert f"2 × a pipe, socket or device: {str(tmp_path / 'pipe')!r}" in (  # noqa: RUF001 - as it is printed
        caught.value.message
    )


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path, {"closed/1": b"", "open/1": b""})
    real = os.scandir

    def scandir(place: bytes) -> object:
        if place.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(BadFolder, match=r"not to be read: .*closed"):
        names(tmp_path)
