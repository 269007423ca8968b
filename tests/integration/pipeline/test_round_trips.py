"""How often a step waits for the broker: what a long way to it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty_store import FaultyStore
from support.in_process_queue import InProcessQueue
from support.round_trips import round_trips

from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.pipeline import handle_message
from icfqueue.pipeline.messages import Nudge

MOST = {
    "fetch": 10,
    "index_tar": 7,
    "write_json": 8,
    "export_repo": 11,
    "update_catalog": 21,
    "cleanup": 6,
}
"""Round trips of each step of a visit that is downloaded, once its worker has done one."""


FIRST, SECOND = (Visit("study_1", f"visit_0{number}") for number in (1, 2))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    assert build_project(tmp_path / "web", "study_1", 2) == [FIRST, SECOND]
    with FaultyStore(tmp_path / "web", auth=False) as made:
        yield made


def counted(queue: InProcessQueue, visit: Visit) -> dict[str, list[str]]:
    """Return what is sent for each step of a visit that is enqueued alone."""
    found = {}
    while (message := queue.take()) is not None:
        level = Nudge.of(queue.record(visit)).level
        with round_trips() as sent:
            handle_message.handle(queue.worker, *message, level=level)
        found[message[0]] = sent
    return found


def test_a_step_waits_for_the_broker_as_seldom_as_it_can(
    in_process_queue: InProcessQueue, web: FaultyStore
) -> None:
    queue = in_process_queue
    queue.store.project_dir("study_1").mkdir(exist_ok=True)
    queue.enqueue([FIRST], store_url=web.url)
    counted(queue, FIRST)
    queue.enqueue([SECOND], store_url=web.url)
    found = counted(queue, SECOND)
    assert queue.record(SECOND).state == "done"
    took = {step: len(sent) for step, sent in found.items()}
    assert all(took[step] for step in MOST), found
    assert {step for step in MOST if took[step] > MOST[step]} == set(), found
