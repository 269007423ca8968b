"""A finished folder takes the place of another one, whole, whatever dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icfqueue.core.processes import faultpoint
from icfqueue.store.beneath import swap_folder
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.swap_folder import Place, put_folder, recover

Folders = tuple[Path, Path, Path]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The new folder, the one to replace, and nothing at the third place."""
    new, target, aside = (tmp_path / name for name in ("new", "target", "aside"))
    for folder in (new, target):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    return new, target, aside


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def places(*paths: Path) -> Iterator[list[Place]]:
    with Folder.at(paths[0].parent) as folder:
        yield [(folder, path.name) for path in paths]


def put(*paths: Path) -> None:
    with places(*paths) as found:
        put_folder(*found)


def mend(*paths: Path) -> None:
    with places(*paths) as found:
        recover(*found)


def exchange_them(*paths: Path) -> bool:
    with places(*paths) as found:
        return swap_folder._exchange(*found)


@pytest.mark.parametrize("exchange", [True, False])
def test_the_new_folder_is_there_and_the_old_one_is_gone(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """Also where the file system has no RENAME_EXCHANGE, as NFS."""
    if not exchange:
        monkeypatch.setattr(swap_folder, "_exchange", lambda *_: False)
    put(*folders)
    assert tree(folders[0].parent) == {"target/name": "new"}


def test_where_nothing_was_it_is_renamed(folders: Folders) -> None:
    new, target, aside = folders
    (target / "name").unlink()
    target.rmdir()
    put(new, target, aside)
    assert tree(new.parent) == {"target/name": "new"}


def test_the_two_names_are_exchanged_in_one_step(folders: Folders) -> None:
    new, target, _ = folders
    assert exchange_them(new, target)
    assert tree(new.parent) == {"new/name": "target", "target/name": "new"}


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (errno.ENOSYS, False),
        (errno.EINVAL, False),
        (errno.EOPNOTSUPP, False),
        (errno.EIO, True),
    ],
)
def test_a_system_that_cannot_exchange_is_told_from_a_disk_in_trouble(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            self.renameat2: Callable[..., int] = lambda *_: -1

    monkeypatch.setattr(swap_folder.ctypes, "CDLL", Library)
    monkeypatch.setattr(swap_folder.ctypes, "get_errno", lambda: code)
    if raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            exchange_them(*folders[:2])
    else:
        assert not exchange_them(*folders[:2])


SCRIPT = """
import sys
from pathlib import Path
from icfqueue.store.beneath import swap_folder
from icfqueue.store.beneath.folder import Folder
swap_folder._exchange = lambda *_: False
paths = [Path(word) for word in sys.argv[1:]]
folder = Folder.at(paths[0].parent)
swap_folder.put_folder(*((folder, path.name) for path in paths))
"""


def test_dying_between_the_two_renames_leaves_what_the_next_one_puts_back(
    folders: Folders,
) -> None:
    new, target, aside = folders
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, folders)],
        env={**os.environ, faultpoint.VARIABLE: "between target"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    mend(target, aside)
    assert tree(new.parent) == {"new/name": "new", "target/name": "target"}


def test_dying_after_them_leaves_litter_that_the_next_one_removes(
    folders: Folders,
) -> None:
    _, target, aside = folders
    aside.mkdir()
    mend(target, aside)
    assert not aside.exists()
    assert target.exists()
    mend(target, aside)
    assert target.exists()
