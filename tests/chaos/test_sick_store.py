"""A store that sends byte after byte, and the visits of another that wait behind its."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos_project import FEW, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.raw_server import RawServer, head

from icfqueue.demo.visits import build_project
from icfqueue.ledger.record import State

OTHER = "study_2"
VISITS = 3


@pytest.mark.parametrize("path", ["*_dicom.tar", "*.md5sum"])
def test_a_store_that_trickles_keeps_no_worker_from_the_visits_of_another(
    path: str,
    tmp_path: Path,
    cluster: KillableCluster,
    web: FaultyStore,
    expected_few: dict[str, str],
) -> None:
    """Both processes have visits of the sick one first; the other's are done meanwhile.

    A byte each half second, where two are waited for: it would be done in an hour.
    """
    cluster.env["ICFQUEUE_READ_TIMEOUT"] = "2"
    cluster.env["ICFQUEUE_CONNECT_TIMEOUT"] = "1"
    sick = web.fail("slow", path=f"/study_1/{path}", rate=2, times=None)
    build_project(tmp_path / "web", OTHER, VISITS)
    with FaultyStore(tmp_path / "web", auth=False) as healthy:
        cluster.enqueue(*(f"visit_{number:02d}" for number in range(FEW)))
        cluster.start_worker(2)
        cluster.wait(
            lambda: cluster.counts().get(State.RUNNING) == 2, 30, "both are kept busy"
        )
        (cluster.root / OTHER).mkdir()
        url = {"ICFQUEUE_STORE_URL": healthy.url}
        cluster.command("enqueue", OTHER, "--remote", **url)
        cluster.wait(
            lambda: cluster.ledger.counts(OTHER)[State.DONE] == VISITS,
            60,
            "the other is done",
        )
        assert cluster.active() == FEW
        assert sick.struck > 0
        found = [record.error for record in cluster.records() if record.error]
        assert {error["type"] for error in found} <= {"NetworkTrouble", "StoreBusy"}
        # Whoever waits behind it is told of it, too.
        assert "a second" in str(found) or "in time" in str(found)
    sick.over.set()
    web.clear()
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.check_no_traceback()
    cluster.check_equals(expected_few)


def test_a_listing_that_trickles_ends_the_command(cluster: KillableCluster) -> None:
    def answer(_: str) -> Iterator[bytes]:
        yield head(Content_Type="text/html")
        while not web.over.wait(0.1):
            yield b"<"

    with RawServer(answer) as web:
        more = {"ICFQUEUE_READ_TIMEOUT": "2", "ICFQUEUE_STORE_URL": web.url}
        cluster.command("enqueue", PROJECT, "--remote", code=3, **more)
    assert cluster.counts() == {}
