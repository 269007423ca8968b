"""Tarballs that do not fit on the disk: each waits alone, and no two begin where one fits.

The disk is a small file system of its own; the workers are real processes.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos_project import FEW, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.small_disk import on_small_disk

from icfqueue.core import plain_text
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import members_of_visit, shipped, write_tar
from icfqueue.ledger.record import Record, State

MEGABYTE = 1_000_000


def put_large(web: FaultyStore, name: str, megabytes: int) -> Visit:
    """Have the store offer a tarball of that size, with two images in it."""
    visit = Visit(PROJECT, name)
    filling = ("filling", random.Random(name).randbytes(megabytes * MEGABYTE))
    images = members_of_visit(visit, shipped("dicomdirtests/98892003")[:2])
    write_tar(web.root / PROJECT / visit.tarball, [filling, *images])
    return visit


@pytest.fixture
def large(web: FaultyStore) -> Iterator[list[Visit]]:
    """Three visits of 24 MB, which are gone from the store afterwards."""
    made = [put_large(web, f"large_{number}", 24) for number in range(3)]
    yield made
    for visit in made:
        (web.root / PROJECT / visit.tarball).unlink()


def waits_for_room(record: Record) -> bool:
    return (
        record.state == State.WAITING
        and record.error is not None
        and record.error["type"] == "NoRoom"
    )


def no_attempt_failed(cluster: KillableCluster) -> bool:
    return all(step.faults == 0 for record in cluster.records() for step in record.steps)


def test_a_tarball_that_does_not_fit_waits_and_all_others_go_on(
    tmp_path: Path, web: FaultyStore, few: list[str], large: list[Visit]
) -> None:
    """Those whose tarballs are here, those that fit, and the cleanup; it goes last."""
    with on_small_disk(tmp_path, web.url, 20) as (cluster, disk):
        for name in few[::2]:
            tarball = Visit(PROJECT, name).tarball
            shutil.copy(web.root / PROJECT / tarball, cluster.root / PROJECT)
        cluster.start_worker(2)
        cluster.enqueue(large[0].id, *few, "--remove-tarball", "--no-stream")
        cluster.wait(
            lambda: cluster.counts().get(State.DONE) == FEW, 60, "all others are done"
        )
        cluster.wait(lambda: waits_for_room(cluster.record(large[0].id)), 20, "it waits")
        found = cluster.record(large[0].id)
        size = (web.root / PROJECT / large[0].tarball).stat().st_size
        assert found.error
        assert f"{plain_text.size(size)} to come" in found.error["message"]
        assert found.tar_bytes == size
        assert not cluster.ledger.notes.get("rest:disk")
        assert not list((cluster.root / PROJECT).glob("*_dicom.tar"))
        # It is not asked for again and again.
        asked = web.count("GET", f"/{large[0].storepath}")
        attempts = cluster.begun()
        cluster.wait(lambda: cluster.begun() > attempts + 2, 20, "it looks again")
        assert web.count("GET", f"/{large[0].storepath}") == asked
        assert disk.remount("size=64m")
        cluster.wait_drained(40)
        assert cluster.counts() == {State.DONE: FEW + 1}, cluster.explain()
        assert no_attempt_failed(cluster)
        assert cluster.record(large[0].id).steps[0].attempts == 1


def test_no_two_downloads_begin_where_one_fits(
    tmp_path: Path, web: FaultyStore, large: list[Visit]
) -> None:
    """Nor if the first one's worker dies: its promise ends with its lease."""
    slow = web.fail("slow", path="*large*", rate=4 * MEGABYTE, times=None)
    with on_small_disk(tmp_path, web.url, 40) as (cluster, _disk):
        room = cluster.ledger.room
        hidden = cluster.root / PROJECT / ".icfqueue"

        def parts() -> int:
            return len([path for path in hidden.glob("*/part-*") if "." not in path.name])

        first = cluster.start_worker(3)
        cluster.enqueue(*(visit.id for visit in large), "--remove-tarball", "--no-stream")
        cluster.wait(
            lambda: parts() == 1 and sum(map(waits_for_room, cluster.records())) == 2,
            30,
            "one is downloaded, two wait",
        )
        assert len(room.promised()) == 1
        others = [found for found in cluster.records() if waits_for_room(found)]
        assert "promised to other downloads" in str([found.error for found in others])
        cluster.kill(first)
        slow.over.set()
        cluster.start_worker(3)
        cluster.wait_drained(60)
        assert cluster.counts() == {State.DONE: 3}, cluster.explain()
        assert no_attempt_failed(cluster)
        assert cluster.count_in_logs("DiskTrouble") == 0
        assert room.promised() == {}
