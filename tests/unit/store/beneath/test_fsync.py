"""What is published outlasts a loss of power, where the file system can."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from icfqueue.store.beneath import fsync
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.fsync import sync_folder, to_disk


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name of each file that is put on disk, and the thread that waited for it."""
    found: list[tuple[str, int]] = []

    def remember(held: int) -> None:
        name = Path(f"/proc/self/fd/{held}").readlink().name
        found.append((name, threading.get_ident()))

    monkeypatch.setattr(os, "fsync", remember)
    return found


def flush(path: Path) -> Callable[[], None]:
    def work() -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())

    return work


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """An open folder, as a place."""
    with Folder.at(tmp_path) as opened:
        yield opened.descriptor


def test_one_file_needs_no_thread(tmp_path: Path, synced: list[tuple[str, int]]) -> None:
    (tmp_path / "a").touch()
    to_disk([flush(tmp_path / "a")])
    assert synced == [("a", threading.get_ident())]


@pytest.mark.parametrize("count", [0, 2, 50])
def test_each_of_many_files_is_put_on_disk_once(
    tmp_path: Path, synced: list[tuple[str, int]], count: int
) -> None:
    files = [tmp_path / f"{number}" for number in range(count)]
    for file in files:
        file.touch()
    to_disk([flush(file) for file in files])
    assert sorted(name for name, _ in synced) == sorted(file.name for file in files)
    assert threading.get_ident() not in {thread for _, thread in synced}
    assert len({thread for _, thread in synced}) <= fsync.SYNCING


def test_what_goes_wrong_with_one_of_many_is_raised(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileNotFoundError, match="gone"):
        to_disk([flush(tmp_path / "a"), flush(tmp_path / "gone")])


def test_names_in_a_folder_are_put_on_disk(
    tmp_path: Path, folder: int, synced: list[tuple[str, int]]
) -> None:
    sync_folder(folder)
    assert [name for name, _ in synced] == [tmp_path.name]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (errno.EINVAL, False),
        (errno.ENOTSUP, False),
        (errno.EBADF, False),
        (errno.EIO, True),
        (errno.ENOSPC, True),
    ],
)
def test_a_file_system_that_cannot_do_so_is_no_error_and_a_bad_disk_is(
    folder: int, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    before = open_files()
    if raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            sync_folder(folder)
    else:
        sync_folder(folder)
    assert open_files() == before
