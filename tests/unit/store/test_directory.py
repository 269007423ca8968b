"""Files appear in the store whole or not at all, for the store's group."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from icfqueue.core.errors import BadId, DiskTrouble, LeaseLost, UsageError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.disk import DISK_ERRORS, disk_trouble
from icfqueue.store.fingerprint import Fingerprint

VISIT = Visit("study_1", "v1")


class Lost(Guard):
    def before_publish(self, name: str) -> None:
        raise LeaseLost(f"{name} is not published")


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


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
            store.publish(folder / "refs", target, Lost())

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


def test_a_replaced_tarball_of_the_same_size_and_age_has_another_fingerprint(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    before = Fingerprint.of(path)
    assert before is not None
    other = tmp_path / "y"
    other.write_text("two")
    os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
    other.replace(path)
    after = Fingerprint.of(path)
    assert after is not None
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before
    assert Fingerprint.of(tmp_path / "gone") is None


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_disk_in_trouble_is_a_transient_error(number: int) -> None:
    with pytest.raises(DiskTrouble, match=r"writing.*part"), disk_trouble("writing"):
        raise OSError(number, os.strerror(number), "/store/part")


def test_other_errors_of_the_system_pass_unchanged() -> None:
    with pytest.raises(PermissionError), disk_trouble("writing"):
        raise OSError(errno.EACCES, "no")


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
    ],
)
def test_only_a_disk_without_room_is_no_fault_of_the_visit(code: int, full: bool) -> None:
    with pytest.raises(DiskTrouble) as caught, disk_trouble("writing"):
        raise OSError(code, os.strerror(code), "/store/x")
    assert caught.value.full is full


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
