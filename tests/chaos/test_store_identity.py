"""A node without its mount takes nothing; a second store is refused.

The mount is missing for one worker alone, by a mount namespace of its own, in which an
empty file system lies over the store directory. That needs root or user namespaces.
"""

from __future__ import annotations

from pathlib import Path

from support.chaos_project import FEW, build_visits
from support.killable_cluster import KillableCluster
from support.private_mount import PrivateMount

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

WORDS = "nothing is taken: "


def test_a_node_without_its_mount_takes_nothing_and_goes_on_when_it_is_there(
    cluster: KillableCluster,
    visits: list[Visit],
    few: list[str],
    expected: dict[str, str],
) -> None:
    cover = f"mount -t tmpfs none {cluster.root}"
    with PrivateMount(cluster.folder / "a", cover) as away:
        # Known to store and broker before: the first command makes the id.
        cluster.enqueue(*few[:1])
        prefix, cluster.prefix = cluster.prefix, away.prefix
        blind = cluster.start_worker(2)
        cluster.prefix = prefix
        cluster.wait(lambda: WORDS in blind.log.read_text(), 40, "it says so")
        seeing = [cluster.start_worker(1) for _ in range(2)]
        cluster.enqueue(*few)
        cluster.wait_drained(60)
        assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
        took = {step.worker for record in cluster.records() for step in record.steps}
        names = tuple(f":{pid}" for pid in blind.pids())
        others = tuple(f":{pid}" for worker in seeing for pid in worker.pids())
        assert not [name for name in took if name and name.endswith(names)]
        assert [name for name in took if name and name.endswith(others)]
        assert all(s.attempts == 1 for r in cluster.records() for s in r.steps)

        for worker in seeing:
            cluster.kill(worker)
        cluster.enqueue(*(visit.id for visit in visits))
        assert away.do(f"umount {cluster.root}")
        cluster.wait_drained(90)
        assert "is seen again" in blind.log.read_text()
    assert cluster.counts() == {State.DONE: len(visits)}, cluster.explain()
    cluster.check_equals(expected)
    cluster.check_no_traceback()


def test_a_second_store_is_refused_by_every_command_that_would_change_something(
    cluster: KillableCluster, few: list[str], tmp_path: Path
) -> None:
    cluster.enqueue(*few)
    other = tmp_path / "other"
    build_visits(other, 2)
    for words in (["enqueue", "study_1"], ["run", "study_1"], ["reconcile", "study_1"]):
        cluster.command(*words, code=2, ICFQUEUE_STORE_DIR=str(other))
    assert not (other / ".icfqueue/store-id").exists()
    # It has an id of its own, from a broker of its own.
    own = {"ICFQUEUE_STORE_DIR": str(other), "ICFQUEUE_BROKER_URL": ""}
    cluster.command("enqueue", "study_1", **own)
    assert (other / ".icfqueue/store-id").exists()
    for words in (["worker"], ["retry", "study_1"], ["enqueue", "study_1"]):
        cluster.command(*words, code=2, ICFQUEUE_STORE_DIR=str(other))
    assert set(cluster.counts()) == {State.QUEUED}
    # The status may be asked for from anywhere.
    told = cluster.command("status", code=0, ICFQUEUE_STORE_DIR=str(tmp_path))
    assert "study_1" in told
