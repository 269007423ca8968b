"""The embedded broker on the full disk of the store: 'run' waits, says so, and goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.killable_worker import KillableWorker
from support.small_disk import SmallDisk, on_small_disk


@dataclass
class FullStore:
    """A store directory on a small disk, with the embedded broker in it."""

    cluster: KillableCluster
    disk: SmallDisk

    def fill(self) -> None:
        """Leave no byte, nor take it back."""
        assert self.disk.do(
            f"dd if=/dev/zero of={self.disk.folder}/ballast bs=64k; "
            f"dd if=/dev/zero of={self.disk.folder}/more bs=1; true"
        )
        found = os.statvfs(self.cluster.root)
        assert found.f_bavail == 0

    def make_room(self) -> None:
        assert self.disk.do(f"rm -f {self.disk.folder}/ballast {self.disk.folder}/more")

    def said(self, run: KillableWorker) -> str:
        return run.log.read_text()


@pytest.fixture
def full_store(tmp_path: Path, web: FaultyStore) -> Iterator[FullStore]:
    with on_small_disk(tmp_path, web.url) as (cluster, disk):
        cluster.env["ICFQUEUE_BROKER_URL"] = ""
        yield FullStore(cluster, disk)


def test_a_disk_that_fills_up_makes_run_wait_until_there_is_room(
    full_store: FullStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """The broker's own file cannot be written either."""
    cluster = full_store.cluster
    run = cluster.start_command("run", "study_1", "--jobs", "2", *few)
    cluster.wait(lambda: cluster.begun() > 8, 60, "some steps")
    full_store.fill()
    words = ("cannot write its data to its disk", "no room for its data")
    cluster.wait(
        lambda: any(one in full_store.said(run) for one in words), 60, "it says so"
    )
    assert run.process.poll() is None
    full_store.make_room()
    assert run.process.wait(90) == 0, full_store.said(run)
    assert "Traceback" not in full_store.said(run)
    cluster.check_equals(expected_few)


def test_run_on_a_full_disk_waits_from_its_beginning(
    full_store: FullStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """Its broker cannot even be started."""
    cluster = full_store.cluster
    cluster.command("enqueue", "study_1", few[0])
    full_store.fill()
    run = cluster.start_command("run", "study_1", "--jobs", "2", *few)
    cluster.wait(lambda: "waiting: " in full_store.said(run), 60, "it says so")
    assert run.process.poll() is None
    full_store.make_room()
    assert run.process.wait(90) == 0, full_store.said(run)
    assert "Traceback" not in full_store.said(run)
    cluster.check_equals(expected_few)
