"""Files appear and go by one rename, past the fence of the work folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from icfqueue.core.errors import LeaseLost, TarballTouched, UnsafePath
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

VISIT = Visit("study_1", "v1")


class Meanwhile(Guard):
    """Lets something happen once, right after the lease was asked for."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens: Callable[[], object] | None = happens

    def before_publish(self, name: str) -> None:  # noqa: ARG002 - the interface
        happens, self.happens = self.happens, None
        if happens:
            happens()


class Lost(Guard):
    def before_publish(self, name: str) -> None:
        raise LeaseLost(name)


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
