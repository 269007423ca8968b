"""Files appear and go by one rename, past the fence of the work folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.guards import LosingGuard
from support.outputs import names_in

from icfqueue.core.errors import LeaseLost, TarballTouched, UnsafePath
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.store.beneath import publication
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.directory import Store

VISIT = Visit("study_1", "v1")


class Meanwhile(Guard):
    """Lets something happen once, right after the lease was asked for."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens: Callable[[], object] | None = happens

    def before_change(self, name: str) -> None:  # noqa: ARG002 - the interface
        happens, self.happens = self.happens, None
        if happens:
            happens()


def test_what_is_staged_is_gone_when_the_next_worker_has_begun(store: Store) -> None:
    """The fence: the lease was good when asked for, and is another's at the rename."""
    target = store.path(VISIT, VISIT.refs)

    def next_one_begins() -> None:
        with Store(store.root).scratch(VISIT):
            pass

    def publish() -> None:
        with store.scratch(VISIT) as folder:
            (folder / "refs").write_text("old")
            store.publish(folder / "refs", target, Meanwhile(next_one_begins))

    with pytest.raises(FileNotFoundError):
        publish()
    assert not target.exists()


def test_without_the_lease_nothing_stays_staged(store: Store) -> None:
    def publish() -> None:
        with store.scratch(VISIT) as folder:
            (folder / "refs").write_text("x")
            store.publish(folder / "refs", store.path(VISIT, "y"), LosingGuard())

    with pytest.raises(LeaseLost):
        publish()
    assert not store.work_dir(VISIT).exists()
    assert not store.path(VISIT, "y").exists()


def test_a_removed_file_that_is_another_one_by_now_gets_its_name_back(
    store: Store,
) -> None:
    target = store.path(VISIT, VISIT.tarball)
    store.make_dir(target.parent)
    target.write_text("old")
    expected = store.fingerprint(target)

    def replaced() -> None:
        new = target.with_name("new")
        new.write_text("new")
        new.replace(target)

    with pytest.raises(TarballTouched, match="was replaced while"):
        store.withdraw(VISIT, target, Meanwhile(replaced), expected)
    assert target.read_text() == "new"
    assert not store.work_dir(VISIT).exists()

    store.withdraw(VISIT, target, UNGUARDED, store.fingerprint(target))
    assert not target.exists()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Somebody's own file."""
    made = tmp_path / "secret"
    made.touch()
    made.chmod(0o600)
    return made


def test_a_file_with_a_second_name_is_published_and_opened_to_nobody(
    store: Store, secret: Path
) -> None:
    """It may be somebody's own file that was put there by a second name."""
    work = store.work_dir(VISIT)
    store.make_dir(work)
    os.link(secret, work / "dicoms.json")
    store.publish(work / "dicoms.json", store.path(VISIT, "y"), UNGUARDED)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_link_in_place_of_a_finished_file_is_not_opened_to_the_group(
    store: Store, secret: Path
) -> None:
    work = store.work_dir(VISIT)
    store.make_dir(work)
    (work / "dicoms.json").symlink_to(secret)
    with pytest.raises(UnsafePath):
        store.publish(work / "dicoms.json", store.path(VISIT, "y"), UNGUARDED)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def finished_folder(store: Store, scratch: Path) -> tuple[Path, Path, Path]:
    """Return a new folder, its place, and the name for the old one meanwhile."""
    new = scratch / "catalog"
    new.mkdir()
    (new / "page").write_text("new")
    work = store.catalog_work_dir("study_1")
    return new, store.catalog_dir("study_1"), work / "replaced"


def test_a_folder_takes_its_place_whole_and_the_old_one_goes(store: Store) -> None:
    target = store.catalog_dir("study_1")
    store.make_dir(target)
    (target / "page").write_text("old")
    with store.catalog_scratch("study_1") as scratch:
        store.swap_folder(*finished_folder(store, scratch), UNGUARDED)
    assert (target / "page").read_text() == "new"
    assert names_in(store.root) == {"study_1", "study_1/catalog", "study_1/catalog/page"}


def test_without_the_lock_no_folder_takes_its_place(store: Store) -> None:
    target = store.catalog_dir("study_1")
    store.make_dir(target)
    with store.catalog_scratch("study_1") as scratch:
        made = finished_folder(store, scratch)
        with pytest.raises(LeaseLost):
            store.swap_folder(*made, LosingGuard())
    assert names_in(store.root) == {"study_1", "study_1/catalog"}


def test_a_link_in_a_folders_place_is_refused_and_left_alone(
    store: Store, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    store.make_dir(store.root / "study_1")
    store.catalog_dir("study_1").symlink_to(elsewhere)
    with store.catalog_scratch("study_1") as scratch:
        made = finished_folder(store, scratch)
        with pytest.raises(UnsafePath):
            store.swap_folder(*made, UNGUARDED)
    assert names_in(elsewhere) == {"mine"}


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[tuple[Folder, Folder]]:
    """A file that was taken out of a folder, and that folder."""
    for name in ("gone", "place"):
        (tmp_path / name).mkdir()
    (tmp_path / "gone" / "x").write_text("taken")
    with Folder.at(tmp_path / "gone") as gone, Folder.at(tmp_path / "place") as place:
        yield gone, place


@pytest.mark.parametrize("code", [None, errno.EPERM, errno.ENOTSUP])
def test_a_file_gets_its_name_back_also_where_no_second_name_can_be_given(
    taken: tuple[Folder, Folder], monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, "no links here")

    gone, place = taken
    if code is not None:
        monkeypatch.setattr(os, "link", refuse)
    publication._put_back(gone, place, "x")
    assert (place.path / "x").read_text() == "taken"


def test_a_name_that_another_file_has_by_now_is_left_to_that(
    taken: tuple[Folder, Folder],
) -> None:
    """It is the newer one."""
    gone, place = taken
    (place.path / "x").write_text("newer")
    publication._put_back(gone, place, "x")
    assert (place.path / "x").read_text() == "newer"
