"""Folders below the store directory: the way to them, who may change them, their group."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from icfqueue.core.errors import UnsafePath
from icfqueue.store.beneath.walk import Beneath, Links

ROOT = os.getuid() == 0
WORK = "study_1/.icfqueue/v1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def beneath(root: Path) -> Beneath:
    return Beneath(root, Links.NONE)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc"])
def test_a_path_that_leaves_the_store_is_no_path_of_it(
    root: Path, beneath: Beneath, path: str
) -> None:
    with pytest.raises(ValueError, match="does not lie in"):
        beneath.folder(root / path)


def test_a_folder_is_made_with_all_above_it(root: Path, beneath: Beneath) -> None:
    path = root / WORK
    with beneath.made(path) as folder:
        (folder.path / "x").touch()
    assert (path / "x").exists()
    with pytest.raises(FileNotFoundError):
        beneath.folder(root / "gone")


@pytest.mark.parametrize("planted", ["study_1", "study_1/.icfqueue", WORK])
def test_no_folder_on_the_way_may_be_a_link(
    root: Path, beneath: Beneath, tmp_path: Path, planted: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / planted).parent.mkdir(parents=True, exist_ok=True)
    (root / planted).symlink_to(elsewhere)
    for reach in (beneath.folder, beneath.made):
        with pytest.raises(UnsafePath, match="is a symbolic link"):
            reach(root / WORK)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("links", Links)
def test_projects_may_be_links_where_the_site_says_so(
    root: Path, tmp_path: Path, links: Links
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "study_1").symlink_to(elsewhere)
    (root / ".icfqueue").symlink_to(elsewhere)
    beneath = Beneath(root, links)
    with pytest.raises(UnsafePath):
        beneath.folder(root / ".icfqueue")
    if links == Links.NONE:
        with pytest.raises(UnsafePath):
            beneath.made(root / "study_1/x")
    else:
        beneath.made(root / "study_1/x").close()
        assert (elsewhere / "x").is_dir()


@pytest.mark.parametrize("at", [".icfqueue", ".icfqueue/v1"])
def test_a_work_folder_for_everybody_is_refused_with_the_remedy(
    root: Path, beneath: Beneath, at: str
) -> None:
    folder = root / WORK
    beneath.made(folder).close()
    (root / "study_1" / at).chmod(0o777)
    with pytest.raises(UnsafePath) as caught:
        beneath.folder(folder)
    assert caught.value.hint == f"`chmod o-w {root / 'study_1' / at}`"


def test_where_the_store_itself_is_for_everybody_work_folders_may_be(
    root: Path, beneath: Beneath
) -> None:
    """File systems without owners show the same for all that is on them."""
    root.chmod(0o777)
    folder = root / WORK
    beneath.made(folder).close()
    folder.chmod(0o777)
    beneath.folder(folder).close()


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
@pytest.mark.parametrize(
    ("owner", "group", "good"),
    [(4711, 4712, True), (0, 4713, True), (4714, 4713, False), (4711, 4713, True)],
)
def test_a_work_folder_is_the_stores_owners_or_its_groups(
    root: Path, beneath: Beneath, owner: int, group: int, good: bool
) -> None:
    os.chown(root, 4711, 4712)
    folder = root / WORK
    beneath.made(folder).close()
    os.chown(folder, owner, group)
    if good:
        beneath.folder(folder).close()
    else:
        with pytest.raises(UnsafePath, match="belongs to user 4714 and group 4713"):
            beneath.folder(folder)


def test_without_a_umask_nothing_is_made_for_everybody(
    root: Path, beneath: Beneath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icfqueue.store.beneath.sharing.UMASK", 0)
    before = os.umask(0)
    try:
        beneath.made(root / "study_1/.icfqueue").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "study_1/.icfqueue").stat().st_mode) == 0o775


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
@pytest.mark.parametrize("of_root", [0o755, 0o750, 0o700, 0o2755])
def test_where_nobody_shares_the_umask_decides(
    root: Path, beneath: Beneath, monkeypatch: pytest.MonkeyPatch, umask: int, of_root: int
) -> None:
    """As ever: what `open` and `mkdir` themselves make under this umask."""
    root.chmod(of_root)
    setgid = of_root & stat.S_ISGID
    expected = (0o777 & ~umask | setgid, 0o666 & ~umask)
    assert made(root, beneath, monkeypatch, umask) == expected


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
@pytest.mark.parametrize("of_root", [0o775, 0o770, 0o2770])
def test_what_is_made_in_a_store_that_a_group_shares_is_the_groups(
    root: Path, beneath: Beneath, monkeypatch: pytest.MonkeyPatch, umask: int, of_root: int
) -> None:
    root.chmod(of_root)
    setgid = of_root & stat.S_ISGID
    assert made(root, beneath, monkeypatch, umask) == (
        0o777 & ~umask | 0o070 | setgid,
        0o666 & ~umask | 0o060,
    )


def made(
    root: Path, beneath: Beneath, monkeypatch: pytest.MonkeyPatch, umask: int
) -> tuple[int, int]:
    """Return the modes of a folder and a file that are made under `umask`."""
    monkeypatch.setattr("icfqueue.store.beneath.sharing.UMASK", umask)
    before = os.umask(umask)
    try:
        beneath.made(root / WORK).close()
        with (root / WORK / "x").open("w") as file:
            beneath.share(file.fileno(), 0o666)
    finally:
        os.umask(before)
    found = (root / WORK).stat(), (root / WORK / "x").stat()
    return stat.S_IMODE(found[0].st_mode), stat.S_IMODE(found[1].st_mode)


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_this_users_own(
    root: Path, beneath: Beneath
) -> None:
    with beneath.made(root / "x") as folder:
        beneath.check_private(folder)
        os.chown(root / "x", 4711, 4711)
        with pytest.raises(UnsafePath, match="belongs to user 4711"):
            beneath.check_private(folder)
        assert not folder.listing()
