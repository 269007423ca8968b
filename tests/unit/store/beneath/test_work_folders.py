"""Work folders: private while something is built, for the group when it is finished."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from icfqueue.core.errors import UnsafePath
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

VISIT = Visit("study_1", "v1")


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


def test_errors_name_the_path_in_the_store_and_no_descriptor(store: Store) -> None:
    def fail() -> None:
        with store.scratch(VISIT) as folder:
            raise OSError(errno.ENOSPC, "full", str(folder / "export"))

    with pytest.raises(OSError, match="full") as caught:
        fail()
    shown = str(caught.value.filename)
    assert shown.startswith(str(store.work_dir(VISIT) / "tmp-"))
    assert shown.endswith("/export")


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
