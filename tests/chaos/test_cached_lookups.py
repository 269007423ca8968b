"""Two nodes that see each other's files late: no visit fails, and no try counts.

Each node sees the store through a mount of its own (bindfs, over FUSE), whose kernel
remembers for a while what was not there, and what was: as NFS does with lookups and
attributes. That needs bindfs, and root or user namespaces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.chaos_project import LONG, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.killable_worker import KillableWorker
from support.needs import allowed, program
from support.private_mount import PrivateMount

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

COUNT = 30
SECONDS = (3, 10, 30) if LONG else (10,)
CACHES = {
    "misses": "negative_timeout={seconds},attr_timeout=0,entry_timeout=0",
    "all": "negative_timeout={seconds},attr_timeout={seconds},entry_timeout={seconds}",
}


@pytest.fixture
def nodes(tmp_path: Path, web: FaultyStore) -> Iterator[KillableCluster]:
    with KillableCluster(tmp_path, web.url) as cluster:
        yield cluster


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("cache", CACHES if LONG else ["misses"])
def test_no_visit_fails_though_each_node_sees_late_what_the_other_wrote(
    nodes: KillableCluster,
    visits: list[Visit],
    cache: str,
    seconds: int,
) -> None:
    program("bindfs", "bindfs")
    allowed(os.access("/dev/fuse", os.R_OK | os.W_OK), "file systems by FUSE")
    names = [visit.id for visit in visits[:COUNT]]
    looks: list[KillableWorker] = []
    options = CACHES[cache].format(seconds=seconds)
    with ExitStack() as mounted:
        for name in ("a", "b"):
            folder = nodes.folder / name
            command = f"bindfs -o {options} {nodes.root} {{folder}}"
            node = mounted.enter_context(PrivateMount(folder, command))
            before, nodes.prefix = nodes.prefix, node.prefix
            nodes.start_worker(2, ICFQUEUE_STORE_DIR=str(folder))
            # What is looked for in vain is remembered.
            words = ("verify", "--audit-only", PROJECT, *names)
            looks.append(nodes.start_command(*words, ICFQUEUE_STORE_DIR=str(folder)))
            nodes.prefix = before
        for look in looks:
            look.process.wait(120)
        nodes.enqueue(*names)
        nodes.wait_drained(60 + 20 * seconds)
        assert nodes.counts() == {State.DONE: COUNT}, nodes.explain()
        assert all(step.faults == 0 for r in nodes.records() for step in r.steps)
        # Forced with the caches full of what is replaced now.
        nodes.enqueue("--force", *names)
        nodes.wait_drained(60 + 20 * seconds)
        assert nodes.counts() == {State.DONE: COUNT}, nodes.explain()
        assert all(step.faults == 0 for r in nodes.records() for step in r.steps)
        # The newest of everything belongs together, as it lies on the disk.
        nodes.command("verify", "--audit-only", PROJECT)
        for worker in list(nodes.workers):
            nodes.kill(worker)
    nodes.check_no_traceback()
