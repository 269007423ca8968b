"""Which messages are acted on, and how."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from support.in_process_queue import InProcessQueue

from icfqueue.core.errors import BadId, PermanentError
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.pipeline import catalog_batch, handle_message
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.pipeline.step_log import Ending
from icfqueue.steps import fetch

V = Visit("study_1", "v")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (("fetch", "../etc", "v", 1), BadId),
        (("fetch", "p", "../../v", 1), BadId),
        (("fetch", "p", "", 1), BadId),
        (("fetch", "p", None, 1), BadId),
        (("fetch", "p", ["v"], 1), BadId),
        (("rm", "p", "v", 1), PermanentError),
        (("__class__", "p", "v", 1), PermanentError),
        (("fetch", "p", "v", "1"), PermanentError),
        (("fetch", "p", "v", None), PermanentError),
        (("fetch", "p", "v", 1.0), PermanentError),
    ],
)
def test_what_a_message_says_is_checked_again(
    in_process_queue: InProcessQueue, message: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        in_process_queue.handle(message)
    assert not list(in_process_queue.store.root.iterdir())


def test_a_message_for_an_unknown_visit_or_a_stale_one_is_dropped(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.worker.watch.check(make=True)
    assert in_process_queue.handle(("fetch", "study_1", "v", 1)) == "dropped"
    in_process_queue.enqueue([V])
    in_process_queue.enqueue([V], force=True)
    before = in_process_queue.record(V)
    for step, generation in (("fetch", 1), ("fetch", 3), ("index_tar", 2), ("cleanup", 2)):
        message = (step, "study_1", "v", generation)
        assert in_process_queue.handle(message) == "dropped"
    assert in_process_queue.record(V) == before


def test_a_worker_that_is_stopping_begins_nothing(in_process_queue: InProcessQueue) -> None:
    in_process_queue.enqueue([V])
    in_process_queue.worker.stopping = Stopping(lambda: 0.0, 0.0)
    message = in_process_queue.take()
    assert message
    assert in_process_queue.handle(message) == "stopping"
    assert in_process_queue.record(V).state == State.QUEUED


def test_a_current_message_is_one_step_of_its_visit(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module of the step is asked, and the word is the visit's state afterwards."""
    in_process_queue.worker.watch.check(make=True)
    asked = []

    def run(job: fetch.Job) -> Outcome:
        asked.append((job.visit, job.options.store_url))
        return Outcome(worked=True, tar_bytes=7)

    monkeypatch.setattr(fetch, "run", run)
    options = in_process_queue.enqueue([V])
    message = in_process_queue.take()
    assert message
    assert in_process_queue.handle(message) == "queued"
    assert asked == [(V, options.store_url)]
    found = in_process_queue.record(V)
    assert (found.step, found.tar_bytes) == ("index_tar", 7)
    assert found.steps[0].worker == "host:1"
    # The same message says nothing any more.
    assert in_process_queue.handle(message) == "dropped"
    assert len(asked) == 1


def test_a_message_for_the_catalog_means_its_whole_study(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever visit and generation it names."""
    in_process_queue.worker.watch.check(make=True)
    monkeypatch.setattr(
        handle_message, "update_catalog", lambda _, project: Ending(f"all of {project}")
    )
    assert handle_message.update_catalog is not catalog_batch.update_catalog
    message = ("update_catalog", "study_1", "nobody", 99)
    assert in_process_queue.handle(message) == "all of study_1"


def test_what_stays_spoilt_leaves_the_message(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no traceback; the supervisor sends another."""
    in_process_queue.worker.watch.check(make=True)
    in_process_queue.enqueue([V])
    message = in_process_queue.take()
    assert message

    def refuse(*_: object) -> None:
        raise redis.ResponseError("WRONGTYPE Operation against a key")

    monkeypatch.setattr(handle_message, "_handle", refuse)
    assert in_process_queue.handle(message) == "spoilt key"
    monkeypatch.undo()
    assert in_process_queue.record(V).state == State.QUEUED
