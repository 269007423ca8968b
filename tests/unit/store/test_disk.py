"""A disk in trouble: by Python's errors, by those of a copy, by a program's last words."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from icfqueue.core.errors import DiskTrouble
from icfqueue.store import disk
from icfqueue.store.disk import (
    DISK_ERRORS,
    FULL,
    as_disk_trouble,
    disk_trouble,
    is_full,
    of_last_words,
)


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_disk_in_trouble_is_a_transient_error(number: int) -> None:
    with pytest.raises(DiskTrouble, match=r"writing.*part"), disk_trouble("writing"):
        raise OSError(number, os.strerror(number), "/store/part")


def test_other_errors_of_the_system_pass_unchanged() -> None:
    with pytest.raises(PermissionError), disk_trouble("writing"):
        raise OSError(errno.EACCES, "no")
    assert as_disk_trouble(OSError(errno.ENOENT, "no")) is None
    assert as_disk_trouble(OSError("without a number")) is None


def test_a_disk_that_is_really_full_is_disk_trouble() -> None:
    with pytest.raises(DiskTrouble), disk_trouble("writing the metadata"):
        Path("/dev/full").write_bytes(b"x" * 100_000)


@pytest.mark.parametrize(
    ("code", "full"),
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EROFS, True),
        (errno.EIO, False),
        (errno.ESTALE, False),
        (errno.ENODEV, False),
    ],
)
def test_only_a_disk_without_room_is_no_fault_of_the_visit(code: int, full: bool) -> None:
    with pytest.raises(DiskTrouble) as caught, disk_trouble("writing"):
        raise OSError(code, os.strerror(code), "/store/x")
    assert caught.value.full is full
    assert (code in FULL) is full


@pytest.mark.parametrize(
    ("error", "doing", "message"),
    [
        (OSError(28, "x", "/s/y"), "writing", "writing (/s/y): No space left on device"),
        (OSError(28, "x"), "writing", "writing: No space left on device"),
        (OSError(28, "x", "/s/y"), "", "No space left on device (/s/y)"),
        (OSError(28, "x"), "", "No space left on device (in the store directory)"),
    ],
)
def test_the_message_says_what_was_done_where_and_what_the_system_said(
    error: OSError, doing: str, message: str
) -> None:
    found = as_disk_trouble(error, doing)
    assert found is not None
    assert found.message == message
    assert found.hint


def copy_tree(number: int, tmp_path: Path) -> None:
    """Copy a tree onto a disk that is in trouble at its second file."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).touch()
    copied: list[str] = []

    def copy(one: str, _: str) -> str:
        copied.append(one)
        if len(copied) > 1:
            raise OSError(number, os.strerror(number), one)
        return one

    shutil.copytree(source, tmp_path / "target", copy_function=copy)


@pytest.mark.parametrize(
    ("number", "full"), [(errno.ENOSPC, True), (errno.ESTALE, False), (errno.EIO, False)]
)
def test_the_errors_that_a_copy_of_a_tree_collects_in_words_are_read(
    tmp_path: Path, number: int, full: bool
) -> None:
    """``shutil.Error`` is an ``OSError`` without a number."""
    with pytest.raises(DiskTrouble) as caught, disk_trouble("making the catalog"):
        copy_tree(number, tmp_path)
    assert isinstance(caught.value.__cause__, shutil.Error)
    assert os.strerror(number) in caught.value.message
    assert caught.value.full is full


def test_a_copy_that_fails_for_another_reason_passes(tmp_path: Path) -> None:
    with pytest.raises(shutil.Error), disk_trouble("making the catalog"):
        copy_tree(errno.EACCES, tmp_path)


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_program_may_name_the_trouble_in_its_last_words(
    tmp_path: Path, number: int
) -> None:
    words = f"fatal: sha1 file write error: {os.strerror(number)}\n"
    found = of_last_words("git failed", words, tmp_path)
    assert isinstance(found, DiskTrouble)
    assert found.message == "git failed"
    assert found.full is (number in FULL)


def test_a_program_that_failed_for_another_reason_is_no_trouble_of_the_disk(
    tmp_path: Path,
) -> None:
    assert of_last_words("git failed", "fatal: bad object", tmp_path) is None
    assert of_last_words("git failed", "", tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("changed", "full"),
    [
        ({}, False),
        ({"f_bavail": 1}, True),
        ({"f_favail": 0}, True),
        # Some file systems count no inodes at all.
        ({"f_files": 0, "f_favail": 0}, False),
        ({"f_flag": os.ST_RDONLY}, True),
    ],
)
def test_a_program_has_failed_for_want_of_room_where_there_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, int],
    full: bool,
) -> None:
    """git has many words for it: bytes, inodes, a file system that is read-only."""
    plenty = {"f_bavail": 1 << 20, "f_frsize": 4096, "f_files": 9, "f_favail": 9}
    found = SimpleNamespace(**{**plenty, "f_flag": 0, **changed})
    monkeypatch.setattr(disk.os, "statvfs", lambda _: found)
    assert is_full(tmp_path) is full
    told = of_last_words("git failed", "fatal: unable to write", tmp_path)
    assert (told is not None) is full


@pytest.mark.parametrize("room", [1, 1 << 20])
def test_what_git_says_where_several_of_its_threads_die_is_told_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """By then what it had written is gone, and the disk may have room again."""
    found = SimpleNamespace(f_bavail=room, f_frsize=4096, f_files=9, f_favail=9, f_flag=0)
    monkeypatch.setattr(disk.os, "statvfs", lambda _: found)
    words = "fatal: die() called many times. Recursion error or racy threaded death!"
    told = of_last_words(f"git fast-import: {words}", words, tmp_path)
    assert told is not None
    assert "die()" not in told.message
    assert told.full is (room == 1)
    assert told.cause == "disk"
