"""A disk that is full or read-only: nobody fails, nothing is left, all go on after.

The store is a small file system of its own, so that the errors come from the kernel. A
machine that forbids that still shows the first of these tests, in which the room is asked
for beforehand.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.chaos_project import FEW, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.small_disk import on_small_disk

from icfqueue.ledger.record import State


def all_wait_for(cluster: KillableCluster, what: str) -> bool:
    """Tell whether every visit that is not done waits, because of that error."""
    left = [record for record in cluster.records() if record.state != State.DONE]
    return bool(left) and all(
        record.state == State.WAITING
        and record.error is not None
        and record.error["type"] == what
        for record in left
    )


def unfinished(folder: Path) -> list[Path]:
    """Return the unfinished files in the work folders."""
    hidden = folder / PROJECT / ".icfqueue"
    return [path for name in ("tmp-*", "part-*") for path in hidden.glob(f"*/{name}")]


def test_no_visit_fails_for_want_of_room_and_all_go_on_when_there_is_some(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """Room is checked before a download; nothing is fetched in vain."""
    full = cluster.start_worker(2, ICFQUEUE_KEEP_FREE=str(1 << 60))
    cluster.enqueue(*few)
    cluster.wait(lambda: all_wait_for(cluster, "NoRoom"), 20, "all wait")
    assert not unfinished(cluster.root)
    cluster.kill(full)
    cluster.start_worker(2)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    assert all(record.steps[0].attempts == 1 for record in cluster.records())
    cluster.check_equals(expected_few)


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_disk_in_trouble_makes_visits_wait_and_leaves_nothing(
    kind: str,
    tmp_path: Path,
    web: FaultyStore,
    few: list[str],
    expected_few: dict[str, str],
) -> None:
    """ENOSPC and EROFS at any step count no attempt; the project is as undisturbed."""
    with on_small_disk(tmp_path, web.url) as (cluster, disk):
        # Half of the tarballs are there, so that not only downloads meet the trouble.
        for tarball in sorted((web.root / PROJECT).glob("*_dicom.tar"))[:FEW:2]:
            shutil.copy(tarball, cluster.root / PROJECT)
        if kind == "full":
            # No room but 200 kB: enough for some visits, not for the catalog.
            room = os.statvfs(cluster.root)
            size = room.f_bavail * room.f_frsize - 200_000
            assert disk.do(f"head -c {size} /dev/zero >{disk.folder}/ballast")
        cluster.start_worker(3)
        cluster.enqueue(*few)
        if kind == "read-only":
            cluster.wait(lambda: cluster.begun() > 15, 30, "some steps")
            # Refused while a file is open for writing.
            cluster.wait(lambda: disk.remount("ro"), 20, "it is read-only")
        cluster.wait(
            lambda: all_wait_for(cluster, "DiskTrouble"), 30, "all wait for the disk"
        )
        if kind == "full":
            assert not unfinished(cluster.root)
            assert disk.do(f"rm {disk.folder}/ballast")
        else:
            assert disk.remount("rw")
        cluster.wait_drained(40)
        assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
        assert all(
            step.faults == 0 for record in cluster.records() for step in record.steps
        )
        cluster.check_equals(expected_few)
        cluster.check_no_traceback()
