"""A disk that now and then fails for a moment: every visit ends done, byte for byte.

One in a hundred of the calls that a worker makes below the store directory fails with a
stale handle, an I/O error or a link across devices, without having done anything. The
faults are put into the processes of the workers alone, by a module that Python imports by
itself (``sitecustomize``), into the very functions of :mod:`os` that the store uses.
"""

from __future__ import annotations

import pytest
from support.chaos_project import FEW, LONG, PROJECT, snapshot
from support.killable_cluster import KillableCluster

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

MODULE = """
import errno, os, random, shutil

SICK = os.environ.get("TEST_SICK_DISK")
NUMBERS = {"ESTALE": (errno.ESTALE,), "EIO": (errno.EIO,), "EXDEV": (errno.EXDEV,)}
NUMBERS["all"] = (errno.ESTALE, errno.EIO, errno.EXDEV)


def sick(name):
    real = getattr(os, name)

    def call(*args, **more):
        # Below the store everything goes by descriptors of folders.
        below = {"dir_fd", "src_dir_fd"} & set(more) or name == "fsync"
        if below and random.random() < float(os.environ["TEST_SICK_RATE"]):
            number = random.choice(NUMBERS[SICK])
            with open(os.environ["TEST_SICK_LOG"], "a") as log:
                log.write(f"{os.getpid()} {name} {number}\\n")
            raise OSError(number, os.strerror(number))
        return real(*args, **more)

    setattr(os, name, call)
    for known in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
        if real in known:
            known.add(call)


if SICK:
    for name in ("open", "rename", "mkdir", "stat", "fsync", "rmdir", "unlink", "link"):
        sick(name)
"""


@pytest.mark.parametrize("kind", ["ESTALE", "EIO", "EXDEV"] if LONG else ["all"])
def test_a_fault_in_a_hundred_calls_costs_tries_and_nothing_else(
    cluster: KillableCluster,
    visits: list[Visit],
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    folder = cluster.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(MODULE)
    log = cluster.folder / "faults"
    names = [visit.id for visit in (visits if LONG else visits[:FEW])]
    cluster.start_worker(
        2,
        PYTHONPATH=str(folder),
        TEST_SICK_DISK=kind,
        TEST_SICK_RATE="0.01",
        TEST_SICK_LOG=str(log),
        ICFQUEUE_MAX_ATTEMPTS="50",
        ICFQUEUE_RETRY_BASE="0.05",
        ICFQUEUE_RETRY_CAP="0.2",
        ICFQUEUE_DISK_PAUSE="0.1",
    )
    cluster.enqueue(*names)
    cluster.wait_drained(240 if LONG else 90)
    assert cluster.counts() == {State.DONE: len(names)}, cluster.explain()
    faults = len(log.read_text().splitlines())
    assert faults > len(names) // 2, "the disk was sick"
    cluster.print_report(f"{faults} faults of the disk ({kind})")
    # Litter that could not be removed in a moment of these goes with the next visit.
    found = snapshot(cluster.root / PROJECT).items()
    outputs = {path: md5 for path, md5 in found if ".icfqueue" not in path}
    expected = request.getfixturevalue("expected" if LONG else "expected_few")
    assert outputs == expected
    cluster.check_no_traceback()
