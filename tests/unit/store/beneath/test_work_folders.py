"""Work folders: private while something is built, for the group when it is finished."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from icfqueue.core.errors import LeaseLost, TarballTouched, UnsafePath
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

VISIT = Visit("study_1", "v1")


class Meanwhile(Guard):
    """Lets something happen right after the lease was asked for."""

    def __init__(self, happens: object) -> None:
        self.happens = happens

    def before_publish(self, name: str) -> None:  # noqa: ARG002 - the interface
        happens, self.happens = self.happens, None
        if callable(happens):
            happens()


class Lost(Guard):
    def before_publish(self, name: str) -> None:
        raise LeaseLost(name)


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.work_dir(VISIT).glob("*"))


def test_where_one_worker_builds_nobody_else_may_enter(store: Store) -> None:
    with store.scratch(VISIT) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (name,) = names(store)
        assert name.startswith("tmp-")
    assert not store.work_dir(VISIT).parent.exists()


def test_leftovers_go_when_the_next_one_begins_and_what_steps_leave_stays(
    store: Store,
) -> None:
    work = store.work_dir(VISIT)
    store.make_dir(work)
    for name in ("tmp-dead", "gone-dead"):
        (work / name).mkdir()
        (work / name / "x").touch()
    for name in ("ready-dead", "index.json", "part-1"):
        (work / name).touch()
    with store.scratch(VISIT):
        left = names(store)
        assert left[:2] == ["index.json", "part-1"]
        assert len(left) == 3


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
            store.publish(folder / "refs", store.path(VISIT, "y"), Lost())

    with pytest.raises(LeaseLost):
        publish()
    assert not store.work_dir(VISIT).exists()
    assert not store.path(VISIT, "y").exists()


def test_errors_name_the_path_in_the_store_and_no_descriptor(store: Store) -> None:
    def fail() -> None:
        with store.scratch(VISIT) as folder:
            raise OSError(errno.ENOSPC, "full", str(folder / "export"))

    with pytest.raises(OSError, match="full") as caught:
        fail()
    shown = str(caught.value.filename)
    assert shown.startswith(str(store.work_dir(VISIT) / "tmp-"))
    assert shown.endswith("/export")


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


def test_a_file_with_a_second_name_is_published_and_opened_to_nobody(
    store: Store, tmp_path: Path
) -> None:
    """It may be somebody's own file that was put there by a second name."""
    secret = tmp_path / "secret"
    secret.touch()
    secret.chmod(0o600)
    work = store.work_dir(VISIT)
    store.make_dir(work)
    os.link(secret, work / "dicoms.json")
    store.publish(work / "dicoms.json", store.path(VISIT, "y"), UNGUARDED)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_link_in_place_of_a_finished_file_is_not_opened_to_the_group(
    store: Store, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    secret.chmod(0o600)
    work = store.work_dir(VISIT)
    store.make_dir(work)
    (work / "dicoms.json").symlink_to(secret)
    with pytest.raises(UnsafePath):
        store.publish(work / "dicoms.json", store.path(VISIT, "y"), UNGUARDED)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_work_folder_that_is_a_link_is_neither_emptied_nor_removed(
    store: Store, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "home"
    elsewhere.mkdir()
    (elsewhere / "tmp-1").mkdir()
    (elsewhere / "kept").touch()
    work = store.work_dir(VISIT)
    store.make_dir(work.parent)
    work.symlink_to(elsewhere)
    with pytest.raises(UnsafePath):
        store.forget_work(VISIT)
    store.try_forget_work(VISIT)
    with pytest.raises(UnsafePath), store.scratch(VISIT):
        pass
    assert sorted(path.name for path in elsewhere.iterdir()) == ["kept", "tmp-1"]
    assert work.is_symlink()
