"""Tarballs that are still being copied wait until that is done; broken ones fail after it.

A copy writes a tarball piece by piece under its last name, as ``cp`` and many tools do,
while workers try to index it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from support.chaos_project import LONG, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

COUNT = 30 if LONG else 6
PIECES = 200


def copy_slowly(source: Path, target: Path, seen: threading.Event) -> None:
    """Copy a file piece by piece; faster once somebody has `seen` half of it."""
    content = source.read_bytes()
    size = -(-len(content) // PIECES)
    with target.open("wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            seen.wait(0.5)
            time.sleep(0.02)


def test_every_tarball_that_is_being_copied_is_done_in_the_end(
    cluster: KillableCluster, visits: list[Visit], web: FaultyStore
) -> None:
    chosen, broken = visits[:COUNT], visits[COUNT]
    folder = cluster.root / PROJECT
    seen = threading.Event()
    copies = [
        threading.Thread(
            target=copy_slowly,
            args=(web.root / visit.storepath, folder / visit.tarball, seen),
        )
        for visit in chosen
    ]
    for copy in copies:
        copy.start()
    content = (web.root / broken.storepath).read_bytes()
    (folder / broken.tarball).write_bytes(content[: len(content) // 2])
    cluster.start_worker(2, ICFQUEUE_SETTLE="2", ICFQUEUE_MAX_ATTEMPTS="2")
    names = [visit.id for visit in (*chosen, broken)]
    cluster.enqueue(*names)
    cluster.wait(lambda: cluster.counts().get(State.WAITING, 0) >= COUNT, 60, "all wait")
    seen.set()
    for copy in copies:
        copy.join()
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: COUNT, State.FAILED: 1}, cluster.explain()
    assert all(
        step.faults == 0
        for record in cluster.records()
        if record.state == State.DONE
        for step in record.steps
    )
    failed = cluster.record(broken.id)
    assert failed.error
    assert failed.error["type"] == "BadTarball"
    cluster.check_no_traceback()
