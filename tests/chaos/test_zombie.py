"""A worker that sleeps longer than its lease and wakes up changes nothing in the store."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from support.chaos_project import PROJECT
from support.event_log import events, trespasses
from support.killable_cluster import KillableCluster

from icfqueue.core.processes import faultpoint
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

PUBLISHED = (
    "_dicom.tar",
    "index.json",
    "_metadata_dicoms.json",
    "_metadata_tarball.json",
    "_XDLRA--repo-export",
    "_XDLRA--refs",
)
FALLING_ASLEEP = [
    f"{moment} {name}" for name in PUBLISHED for moment in ("ready", "before")
]
"""Right before the lease is asked for, and between that and the rename."""

LATER = ["removing _XDLRA--refs", "removing _metadata_tarball.json"]
"""Between the question and the removal of what a run with ``--force`` makes anew."""


def asleep() -> list[int]:
    """Return the processes that are stopped (proc(5), state T)."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and ") T " in (entry / "stat").read_text():
                found.append(int(entry.name))
    return found


def faults(points: list[str], folder: Path) -> dict[str, str]:
    """Return the environment in which one process falls asleep at each of `points`."""
    marked = [f"{point}@{folder / point.replace(' ', '-')}" for point in points]
    return {faultpoint.VARIABLE: ";".join(marked), faultpoint.SIGNAL_VARIABLE: "STOP"}


def test_who_wakes_up_after_its_lease_neither_publishes_nor_removes(
    cluster: KillableCluster, visits: list[Visit], expected: dict[str, str], tmp_path: Path
) -> None:
    """Fourteen processes fall asleep at every point where one touches the store."""
    markers = tmp_path / "markers"
    markers.mkdir()

    def sleepers() -> list[int]:
        ours = {pid for worker in cluster.workers for pid in worker.pids()}
        return [pid for pid in asleep() if pid in ours]

    cluster.start_worker(len(FALLING_ASLEEP), **faults(FALLING_ASLEEP, markers))
    cluster.enqueue("--remote")
    cluster.wait(lambda: len(sleepers()) == len(FALLING_ASLEEP), 40, "all are asleep")
    cluster.start_worker(4, **faults(LATER, markers))
    cluster.wait_drained(60)
    # Made anew is only what is not as it should be.
    for visit in visits[:2]:
        (cluster.root / PROJECT / visit.metadata_tarball).write_text("damaged")
    cluster.enqueue("--remote", "--force")
    everybody = len(FALLING_ASLEEP) + len(LATER)
    cluster.wait(lambda: len(sleepers()) == everybody, 40, "all others are asleep")
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)

    before = len(events(cluster.events))
    woken = sleepers()
    for pid in woken:
        os.kill(pid, signal.SIGCONT)
    cluster.wait(
        lambda: (
            {e.pid for e in events(cluster.events)[before:] if e.words[0] == "ended"}
            >= set(woken)
        ),
        30,
        "all have noticed",
    )
    cluster.wait(
        lambda: cluster.count_in_logs("step.withdrawn") >= everybody, 10, "all have said so"
    )
    assert {e.words[0] for e in events(cluster.events)[before:]} == {"ended"}
    assert not list(trespasses(cluster.events))
    cluster.check_equals(expected)
    assert cluster.counts() == {State.DONE: 40}
