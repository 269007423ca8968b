"""What the group may do: the words about the umask, and the commands that mend rights."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from icfqueue.store.beneath import sharing

HIDDEN = ".icfqueue"


@pytest.mark.parametrize(
    ("mode", "umask", "taken"),
    [
        (0o2775, 0o002, ""),
        (0o2775, 0o022, "write"),
        (0o770, 0o027, "write"),
        (0o775, 0o077, "read, write, enter"),
        (0o755, 0o022, ""),
        (0o750, 0o077, ""),
    ],
)
def test_a_umask_is_named_where_it_takes_from_a_group_that_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, umask: int, taken: str
) -> None:
    monkeypatch.setattr(sharing, "UMASK", umask)
    tmp_path.chmod(mode)
    assert sharing.taken_by_umask(tmp_path) == taken
    assert sharing.umask_remedy() == f"umask {umask & 0o707:03o}"


def test_a_store_that_is_not_there_is_not_spoken_of(tmp_path: Path) -> None:
    assert sharing.taken_by_umask(tmp_path / "gone") == ""


def test_of_other_places_than_work_folders_nothing_is_said(tmp_path: Path) -> None:
    assert sharing.remedy(tmp_path / "study_1/x", HIDDEN) is None
    (tmp_path / HIDDEN).mkdir()
    assert sharing.remedy(tmp_path / HIDDEN / "gone", HIDDEN) is None


def test_the_folder_that_keeps_others_out_is_named_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is run as it stands there."""
    folder = tmp_path / HIDDEN / "visit 0"
    folder.mkdir(parents=True)
    folder.chmod(0o755)

    def may_write(path: Path, *_: object, **__: object) -> bool:
        return bool(path.stat().st_mode & 0o020)

    folder.parent.chmod(0o775)
    monkeypatch.setattr(os, "access", may_write)
    said = sharing.remedy(folder / "tmp-0", HIDDEN)
    assert said
    assert said.startswith(f"{folder} belongs to user ")
    assert "drwxr-xr-x" in said
    subprocess.run(said.partition(" or root: ")[2], shell=True, check=True)
    assert folder.stat().st_mode & 0o2070 == 0o2070
    assert sharing.remedy(folder / "tmp-0", HIDDEN) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_group_is_given_back_by_number_if_it_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / HIDDEN / "v1"
    folder.mkdir(parents=True)
    os.chown(tmp_path, -1, 61000)
    os.chown(folder.parent, 61005, 61005)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    said = sharing.remedy(folder, HIDDEN)
    assert said
    assert "As 61005 or root: chgrp 61000 " in said
