"""A tarball replaced by one of the same size is noticed, whatever clocks and times say.

What was made from the old one is never called up to date, and the new tarball, which may
be the only copy, is never removed. The files that stand for the old one are from an hour
ahead, as a worker with a wrong clock writes them. Once more on a file system that knows
whole seconds only (ext4 with small inodes; that needs root).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.chaos_project import LONG, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.needs import allowed
from support.private_mount import ROOT, PrivateMount

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

COUNT = 20
HOUR = 3600 * 10**9


def whole_seconds(folder: Path) -> PrivateMount:
    """Mount a file system whose times are whole seconds."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    allowed(ROOT, "loop device to who is not root")
    made = ["mkfs.ext4", "-q", "-I", "128", str(image)]
    subprocess.run(made, check=True, capture_output=True)
    return PrivateMount(folder / "disk", f"mount -o loop {image} {{folder}}")


KINDS = ["fine", *(["whole seconds"] if LONG else [])]


@pytest.fixture(params=KINDS)
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, web: FaultyStore
) -> Iterator[KillableCluster]:
    with ExitStack() as opened:
        if request.param == "fine":
            yield opened.enter_context(KillableCluster(tmp_path, web.url))
            return
        disk = opened.enter_context(whole_seconds(tmp_path))
        made = KillableCluster(tmp_path, web.url, {}, disk.seen, disk.prefix)
        opened.enter_context(made)
        made.env["ICFQUEUE_STORE_DIR"] = str(disk.folder)
        yield made


def replace_tarball(path: Path, way: int) -> None:
    """Replace a tarball by another good one of the same size, one way or the other."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    # The last byte of an image's pixels.
    content[last.offset_data + last.size - 1] ^= 1
    if way % 2:
        new = path.with_name("new")
        new.write_bytes(content)
        if way % 4 == 1:
            # As the inode of a removed file is given to the next one.
            path.unlink()
        new.replace(path)
    else:
        path.write_bytes(content)
    if way % 3:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("words", [(), ("--remove-tarball",)])
def test_none_of_twenty_is_up_to_date_and_none_is_removed(
    cluster: KillableCluster, visits: list[Visit], web: FaultyStore, words: tuple[str, ...]
) -> None:
    folder = cluster.root / PROJECT
    chosen = visits[:COUNT]
    for visit in chosen:
        shutil.copy(web.root / visit.storepath, folder)
    names = [visit.id for visit in chosen]
    worker = cluster.start_worker(2)
    cluster.enqueue(*names)
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: COUNT}, cluster.explain()
    # Known from here on, also on a file system on which nothing has settled at first.
    cluster.enqueue(*names)
    cluster.wait_drained(90)

    new = {}
    for number, visit in enumerate(chosen):
        path = folder / visit.tarball
        replace_tarball(path, number)
        new[path] = path.read_bytes()
        for name in (visit.metadata_tarball, visit.refs):
            found = (folder / name).stat()
            os.utime(folder / name, ns=(found.st_atime_ns, found.st_mtime_ns + HOUR))
    said = cluster.enqueue(*words, *names)
    cluster.wait_drained(90)
    assert f"{COUNT} enqueued" in said
    assert {path: path.read_bytes() for path in new} == new
    assert cluster.counts() == {State.FAILED: COUNT}, cluster.explain()
    kinds = {record.error["type"] for record in cluster.records() if record.error}
    assert kinds == {"TarballChanged"}
    cluster.kill(worker)


def test_unchanged_tarballs_are_up_to_date_without_reading(
    cluster: KillableCluster, visits: list[Visit], web: FaultyStore
) -> None:
    """The other side of it: nothing is done again for nothing."""
    for visit in visits[:COUNT]:
        shutil.copy(web.root / visit.storepath, cluster.root / PROJECT)
    names = [visit.id for visit in visits[:COUNT]]
    cluster.start_worker(2)
    for _ in range(2):
        cluster.enqueue(*names)
        cluster.wait_drained(90)
    assert f"{COUNT} up to date" in cluster.enqueue(*names)
