"""Files appear in the store whole or not at all, for the store's group."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from support.guards import LosingGuard
from support.outputs import names_in

from icfqueue.core.errors import BadId, LeaseLost, UsageError
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.visit import Visit
from icfqueue.store.beneath.publication import AT_ONCE
from icfqueue.store.directory import ARCHIVING, Store

VISIT = Visit("study_1", "v1")


def test_a_store_directory_that_is_missing_is_not_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "mount")
    with pytest.raises(UsageError, match="is not there"):
        store.check_is_there()
    assert not store.root.exists()


def test_a_file_appears_by_one_rename_with_the_stores_group(store: Store) -> None:
    if os.getuid() == 0:
        os.chown(store.root, -1, 12345)
    target = store.path(VISIT, VISIT.refs)
    with store.scratch(VISIT) as folder:
        source = folder / "refs"
        source.write_text("x")
        store.publish(source, target, UNGUARDED)
    assert target.read_text() == "x"
    assert target.stat().st_gid == store.root.stat().st_gid
    assert stat.S_IMODE(target.stat().st_mode) & 0o111 == 0
    assert not stat.S_IMODE(target.stat().st_mode) & 0o002
    assert not list(store.work_dir(VISIT).glob("tmp-*"))


def test_without_the_lease_nothing_appears_and_the_work_is_thrown_away(
    store: Store,
) -> None:
    target = store.path(VISIT, VISIT.refs)

    def publish() -> None:
        with store.scratch(VISIT) as folder:
            (folder / "refs").write_text("x")
            store.publish(folder / "refs", target, LosingGuard())

    with pytest.raises(LeaseLost):
        publish()
    assert not target.exists()
    assert not list(store.work_dir(VISIT).glob("tmp-*"))


def test_leftovers_of_a_worker_that_was_killed_go_with_the_next_one(store: Store) -> None:
    left = store.work_dir(VISIT) / "tmp-dead" / "part"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with store.scratch(VISIT) as folder:
        assert not left.exists()
        assert folder.is_dir()


def test_only_tarballs_with_a_good_name_are_visits(store: Store) -> None:
    folder = store.project_dir("study_1")
    assert store.visits("study_1") == []
    folder.mkdir()
    for name in ("b_dicom.tar", "a_dicom.tar", "a_dicom.tar.md5sum", ".c_dicom.tar"):
        (folder / name).touch()
    (folder / "x y_dicom.tar").touch()
    (folder / "d_dicom.tar").mkdir()
    assert store.visits("study_1") == [Visit("study_1", "a"), Visit("study_1", "b")]


@pytest.mark.parametrize("project", ["../x", "", ".icfqueue", "a/b"])
def test_a_project_with_a_bad_name_gets_no_folder(store: Store, project: str) -> None:
    with pytest.raises(BadId):
        store.project_dir(project)


def test_folders_below_a_setgid_folder_hand_the_group_on(store: Store) -> None:
    store.root.chmod(0o2775)
    folder = store.root / "study_1/.icfqueue/v1"
    store.make_dir(folder)
    assert folder.stat().st_mode & stat.S_ISGID
    (folder / "tree/inner").mkdir(parents=True)
    (folder / "tree/inner/file").touch()
    store.share_tree(folder / "tree")
    assert (folder / "tree/inner").stat().st_mode & stat.S_ISGID
    assert not (folder / "tree/inner/file").stat().st_mode & stat.S_ISGID


def test_without_setgid_none_is_set(store: Store) -> None:
    store.make_dir(store.root / "study_1")
    assert not (store.root / "study_1").stat().st_mode & stat.S_ISGID


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_names_are_on_disk_once_per_batch_where_the_file_system_can(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folders = []
    real = os.fsync

    def fsync(held: int) -> None:
        if stat.S_ISDIR(os.fstat(held).st_mode):
            folders.append(held)
            raise OSError(code, os.strerror(code))
        real(held)

    monkeypatch.setattr(os, "fsync", fsync)
    with store.scratch(VISIT) as folder:
        pairs = [(folder / name, store.root / "study_1" / name) for name in "abc"]
        for source, _ in pairs:
            source.touch()
        if code == errno.EINVAL:
            store.publish_all(pairs, UNGUARDED)
        else:
            with pytest.raises(OSError, match=os.strerror(code)):
                store.publish_all(pairs, UNGUARDED)
    assert len(folders) == 1


def test_tarballs_that_give_no_visit_are_named(store: Store) -> None:
    folder = store.project_dir("study_1")
    assert store.unusable("study_1") == []
    folder.mkdir()
    for name in ("a_dicom.tar", "x y_dicom.tar", "other.txt"):
        (folder / name).touch()
    (folder / "d_dicom.tar").mkdir()
    (folder / "e_dicom.tar").symlink_to("nowhere")
    assert store.unusable("study_1") == ["d_dicom.tar", "e_dicom.tar", "x y_dicom.tar"]


def test_what_is_withdrawn_is_gone_and_only_with_the_lease(store: Store) -> None:
    target = store.path(VISIT, VISIT.refs)
    target.parent.mkdir()
    target.write_text("x")
    with pytest.raises(LeaseLost):
        store.withdraw(VISIT, target, LosingGuard())
    assert target.read_text() == "x"
    store.withdraw(VISIT, target, UNGUARDED)
    assert names_in(store.root) == {"study_1"}
    # One that is not there is asked for by nobody.
    store.withdraw(VISIT, target, LosingGuard())


def test_forgotten_work_is_gone_with_the_projects_folder_if_it_was_the_last(
    store: Store,
) -> None:
    other = store.work_dir(Visit("study_1", "v2"))
    for folder in (store.work_dir(VISIT) / "tmp-1", other):
        store.make_dir(folder)
        (folder / "part").touch()
    with pytest.raises(LeaseLost):
        store.forget_work(VISIT, LosingGuard())
    assert (store.work_dir(VISIT) / "tmp-1" / "part").exists()
    store.forget_work(VISIT)
    assert not store.work_dir(VISIT).exists()
    assert other.exists()
    store.forget_work(Visit("study_1", "v2"))
    assert names_in(store.root) == {"study_1"}
    store.forget_work(VISIT)


def test_many_files_appear_after_few_questions_to_the_guard(store: Store) -> None:
    """And in their order: what is listed last must not be there first."""
    guard = LosingGuard(allowed=3)
    count = 2 * AT_ONCE + 1
    with store.scratch(VISIT) as folder:
        pairs = [(folder / f"{n}", store.root / "study_1" / f"{n}") for n in range(count)]
        for source, _ in pairs:
            source.touch()
        store.publish_all(pairs, guard)
    assert guard.asked == ["0", str(AT_ONCE), str(2 * AT_ONCE)]
    assert all(target.exists() for _, target in pairs)


def test_the_catalogs_work_lies_where_no_visits_can(store: Store) -> None:
    store.project_dir("study_1").mkdir()
    with store.catalog_scratch("study_1") as folder:
        assert folder.readlink().parent == store.catalog_work_dir("study_1")
        assert Visit.named("study_1", store.catalog_work_dir("study_1").name) is None
    assert names_in(store.root) == {"study_1"}


def test_the_work_of_archiving_lies_where_no_visits_can(store: Store) -> None:
    """Nor does it disturb a worker that has the visit."""
    store.project_dir("study_1").mkdir()
    with store.scratch(VISIT) as workers, store.archive_scratch(VISIT) as folder:
        assert workers.readlink().parent == store.work_dir(VISIT)
        assert folder.readlink().parent.name.startswith(ARCHIVING)
        assert Visit.named("study_1", folder.readlink().parent.name) is None
    assert names_in(store.root) == {"study_1"}


def test_the_room_is_what_this_user_may_write(store: Store) -> None:
    found = os.statvfs(store.root)
    # Others write here, too, between the two looks.
    assert store.room() == pytest.approx(found.f_bavail * found.f_frsize, abs=1 << 30)
