"""Messages of a real broker acted on by the real steps, on small real visits."""

from __future__ import annotations

import json
import time

import pytest
from support.in_process_queue import URL, InProcessQueue
from support.pipeline import scratch_folders
from support.schema import check_status

from icfqueue.catalog import study
from icfqueue.core.settings import load
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.operations import status


def test_a_project_goes_through_every_step_and_its_status_has_the_documented_form(
    in_process_queue: InProcessQueue,
) -> None:
    queue = in_process_queue
    visits = queue.build(3)
    queue.enqueue(visits)
    done = queue.drain()
    for visit in visits:
        after = queue.record(visit)
        assert after.state == State.DONE, after.error
        assert [step.attempts for step in after.steps] == [1] * 6
        assert after.dicoms
        assert set(after.refs or {}) == {"refs/heads/master", "refs/heads/git-annex"}
        assert study.has_page(queue.store, visit, URL)
    shown = json.loads("".join(status.project_lines(queue.ledger, "study_1")))
    check_status(shown)
    assert shown["counts"]["done"] == 3
    assert not scratch_folders(queue)
    # A visit that has begun goes on before the next one begins.
    first = [message[0] for message, _ in done if message[2] == visits[0].id]
    assert first[:4] == ["fetch", "index_tar", "write_json", "export_repo"]
    assert [message[2] for message, _ in done[:4]] == [visits[0].id] * 4
    assert queue.ledger.totals("study_1")["read_dicoms"] == sum(
        queue.record(visit).dicoms or 0 for visit in visits
    )


def times_of_files(queue: InProcessQueue) -> dict[str, int]:
    """Return path to time of the last change, of all files in the store directory."""
    files = (path for path in queue.store.root.rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_a_second_time_nothing_is_done(
    in_process_queue: InProcessQueue, visit: Visit
) -> None:
    queue = in_process_queue
    queue.drain()
    before = times_of_files(queue)
    queue.ledger.update(visit, lambda r: record.enqueued(r, r.options, 0, time.time()))
    queue.messages.send(queue.record(visit))
    queue.drain()
    assert queue.record(visit).state == State.DONE
    assert times_of_files(queue) == before


def test_the_same_message_twice_is_one_step(
    in_process_queue: InProcessQueue, visit: Visit
) -> None:
    queue = in_process_queue
    message = queue.take()
    assert message
    assert [queue.handle(message), queue.handle(message)] == ["queued", "dropped"]
    assert queue.record(visit).steps[0].attempts == 1


def test_a_limit_for_one_step_does_not_break_the_others(
    in_process_queue: InProcessQueue, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that sets ICFQUEUE_STALL for fetches only still gets its catalog."""
    queue = in_process_queue
    monkeypatch.setenv("ICFQUEUE_STALL", '{"fetch": 60}')
    chosen = load(store_dir=queue.store.root, keep_free=0, catalog_gather=0.05)
    queue.worker = queue.another(stall=chosen.stall)
    queue.drain()
    assert queue.record(visit).state == State.DONE
