"""Tarballs that are read as they come, where workers, store and disk fail meanwhile.

Nothing of a tarball is ever written, and what was made has the bytes that it has where the
tarballs are here. What a store can do to one connection: ``tests/unit/remote/streaming``
and ``tests/integration/fetch/test_streamed.py``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from support.chaos_project import LONG, PROJECT
from support.event_log import events, overlaps, trespasses
from support.faulty_store import Fault, FaultyStore
from support.killable_cluster import KillableCluster
from support.small_disk import on_small_disk
from support.streams import put_md5, without_tarballs

from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import shipped, write_tar
from icfqueue.ledger.record import State
from icfqueue.outputs import tarball_index
from icfqueue.steps import fetch, index_tar
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

KILLS = 60 if LONG else 6
EVERY = (1_000, 10_000, 100_000) if LONG else (10_000,)
"""Bytes after which the store cuts each connection; a tarball here has some 30,000."""

MEGA = 1_000_000 if LONG else 10_000
"""Bytes that stand for a megabyte."""


def path_of(name: str) -> str:
    return f"/{Visit(PROJECT, name).storepath}"


def slow(web: FaultyStore, name: str, seconds: float) -> Fault:
    """Have the tarball of a visit take so long to come, or until that is over."""
    size = (web.root / path_of(name)[1:]).stat().st_size
    return web.fail("slow", path=path_of(name), method="GET", rate=int(size / seconds))


def streaming(cluster: KillableCluster, name: str, fault: Fault) -> None:
    """Wait until a worker is within the bytes of a visit's tarball."""

    def there() -> bool:
        entry = cluster.ledger.get(Visit(PROJECT, name))
        if not (entry and fault.struck):
            return False
        return (entry.record.step, entry.record.state) == ("index_tar", State.RUNNING)

    cluster.wait(there, 40, f"{name} is streamed")


def check_streamed(cluster: KillableCluster, expected: dict[str, str]) -> None:
    """Fail unless all is done and is what it is where the tarballs are here."""
    cluster.check_equals(without_tarballs(expected))
    check_ended_well(cluster)


def check_ended_well(cluster: KillableCluster) -> None:
    """Fail unless all is done, and no tarball or part of one is here."""
    assert set(cluster.counts()) == {State.DONE}, cluster.explain()
    assert all(record.streamed for record in cluster.records())
    assert not list((cluster.root / PROJECT).rglob("*_dicom.tar"))
    assert not (cluster.root / PROJECT / ".icfqueue").exists()
    cluster.check_no_traceback()


def test_a_store_that_cuts_and_workers_that_die_cost_time_and_nothing_else(
    cluster: KillableCluster,
    web: FaultyStore,
    expected_few: dict[str, str],
    few: list[str],
    rng: random.Random,
) -> None:
    """Workers are killed at random moments, most of them in the middle of a stream."""
    cluster.env["ICFQUEUE_LEASE"] = "3"
    for every in EVERY:
        web.clear()
        web.fail("cut", path="*_dicom.tar", method="GET", after=every, times=None)
        for _ in range(2):
            cluster.start_worker()
        cluster.enqueue(*few, "--stream", *(["--force"] if every != EVERY[0] else []))
        for _ in range(KILLS):
            cluster.wait_for_some_step(rng, among=3)
            cluster.kill(rng.choice(cluster.workers))
            cluster.start_worker()
        cluster.wait_drained(90)
        if not all(record.streamed for record in cluster.records()):
            # They were begun anew, for want of steps, and not asked to be streamed.
            for tarball in (cluster.root / PROJECT).glob("*_dicom.tar"):
                tarball.unlink()
            cluster.enqueue(*few, "--stream", "--force")
            cluster.wait_drained(60)
        for worker in list(cluster.workers):
            cluster.kill(worker)
    check_streamed(cluster, expected_few)
    assert not list(trespasses(cluster.events))
    assert not list(overlaps(cluster.events))
    cluster.print_report(f"{KILLS} workers killed, cut every {EVERY} bytes")


def test_only_workers_that_download_stream(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """A site's number of downloads stays what it set, and messages are found by both."""
    others = cluster.start_worker(1, "--queues", "index,export,catalog")
    downloader = cluster.start_worker(1, "--queues", "fetch")
    cluster.enqueue(*few, "--stream")
    cluster.wait_drained(60)
    check_streamed(cluster, expected_few)
    mine, theirs = set(downloader.pids()), set(others.pids())
    for event in events(cluster.events):
        if event.words[0] == "began":
            step = event.words[2]
            assert event.pid in (mine if step in {"fetch", "index_tar"} else theirs), event


def test_cancelled_in_the_middle_a_stream_ends_and_leaves_nothing(
    cluster: KillableCluster, web: FaultyStore, few: list[str]
) -> None:
    fault = slow(web, few[0], 60)
    cluster.start_worker()
    cluster.enqueue(few[0], "--remove-tarball")
    streaming(cluster, few[0], fault)
    cluster.command("cancel", PROJECT, few[0])
    cluster.wait(lambda: not cluster.any_step_runs(), 20, "the worker lets go")
    assert cluster.counts() == {State.CANCELLED: 1}
    work = cluster.root / PROJECT / ".icfqueue" / few[0]
    cluster.wait(lambda: not work.exists(), 20, "its work folder is gone")
    web.clear()
    cluster.enqueue(few[0], "--stream")
    cluster.wait_drained(60)
    check_ended_well(cluster)


def test_ctrl_c_in_the_middle_gives_back_and_the_same_command_goes_on(
    cluster: KillableCluster, web: FaultyStore, few: list[str]
) -> None:
    """No attempt counts."""
    fault = slow(web, few[0], 60)
    words = ("run", PROJECT, *few[:2], "--stream", "--jobs", "1")
    first = cluster.start_command(*words)
    streaming(cluster, few[0], fault)
    first.process.send_signal(signal.SIGINT)
    cluster.wait(lambda: first.process.poll() is not None, 30, "it has ended")
    cluster.wait(lambda: not first.pids(), 20, "all that it started has ended")
    assert first.process.returncode == 130
    given_back = cluster.record(few[0])
    assert (given_back.state, given_back.step) == (State.QUEUED, "index_tar")
    assert given_back.steps[1].attempts == given_back.steps[1].faults == 0
    assert not list((cluster.root / PROJECT / ".icfqueue").glob("*/tmp-*"))
    web.clear()
    cluster.command(*words)
    check_ended_well(cluster)


def test_a_full_disk_is_waited_for_and_a_disk_too_small_for_tarballs_will_do(
    tmp_path: Path, web: FaultyStore, few: list[str]
) -> None:
    """ENOSPC by the kernel while it streams: no attempt counts, nothing is left."""
    with on_small_disk(tmp_path, web.url) as (cluster, disk):
        # As a site that leaves room for nothing: a download would wait for ever.
        cluster.env["ICFQUEUE_KEEP_FREE"] = str(1 << 60)
        fault = slow(web, few[0], 20)
        cluster.start_worker()
        cluster.enqueue(few[0], "--stream")
        streaming(cluster, few[0], fault)
        room = os.statvfs(cluster.root)
        size = room.f_bavail * room.f_frsize
        assert disk.do(f"head -c {size} /dev/zero >{disk.folder}/ballast")
        fault.over.set()
        cluster.wait(
            lambda: (cluster.record(few[0]).error or {}).get("type") == "DiskTrouble",
            40,
            "it waits for the disk",
        )
        assert not list((cluster.root / PROJECT / ".icfqueue").glob("*/*-*"))
        assert disk.do(f"rm {disk.folder}/ballast")
        cluster.wait_drained(60)
        assert all(step.faults == 0 for step in cluster.record(few[0]).steps)
        check_ended_well(cluster)


@pytest.mark.parametrize("every", [1, 10, 100])
def test_a_large_tarball_comes_whole_though_the_line_is_cut(
    tmp_path: Path, every: int
) -> None:
    """What is left for the next step is what is left of the file."""
    visit = Visit(PROJECT, "large")
    web_root = tmp_path / "web"
    for folder in (web_root, tmp_path / "here", tmp_path / "streamed"):
        (folder / PROJECT).mkdir(parents=True)
    image = shipped("dicomdirtests/98892003/MR1")[0].read_bytes()
    image += bytes(max(0, 2 * MEGA - len(image)))
    members = ((f"v/{n}", image + bytes(2 * n)) for n in range(210 * MEGA // len(image)))
    tarball = web_root / visit.storepath
    write_tar(tarball, members)
    put_md5(tarball)
    shutil.copy(tarball, tmp_path / "here" / PROJECT)
    found = {}
    with FaultyStore(web_root, auth=False) as web:
        web.fail("cut", path="*_dicom.tar", method="GET", after=every * MEGA, times=None)
        for name in ("here", "streamed"):
            root = tmp_path / name
            settings = Settings(store_dir=root, store_url=web.url, settle=0)
            options = Options(web.url, stream=True)
            job = Job(visit, options, Store(root), settings, streamed=name == "streamed")
            assert fetch.run(job).streamed is job.streamed
            index_tar.run(job)
            work = job.store.work_dir(visit)
            found[name] = [(work / n).read_bytes() for n in ("dicoms.json", "offsets.json")]
            found[name].append((tarball_index.read(job.store, visit) or [b""])[0])
        cuts = tarball.stat().st_size // (every * MEGA)
        assert web.count("GET", f"/{visit.storepath}", 206) == cuts
    assert found["here"] == found["streamed"]
