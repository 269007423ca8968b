"""What an error of a step means for its visit, and which messages are acted on."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import pytest
from support.in_process_queue import InProcessQueue

from icfqueue.core.errors import (
    BadId,
    BadTarball,
    Cancelled,
    DiskTrouble,
    Interrupted,
    PermanentError,
    StepError,
    StoreBusy,
    TransientError,
)
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.pipeline import catalog_schedule, handle_message
from icfqueue.pipeline.circuit_breaker import PutOff
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.steps import failures
from icfqueue.store.disk import DISK_ERRORS

V = Visit("study_1", "v")
SECRET = "DOE^JANE hunter2"


@pytest.mark.parametrize(
    "error",
    [
        BadTarball("x"),
        StoreBusy("x"),
        Cancelled("x"),
        Interrupted("x"),
        PutOff(BadTarball("x"), 1),
    ],
)
def test_errors_of_ours_stay_as_they_are(error: Exception) -> None:
    assert failures.as_step_error(error) is error


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_disk_in_trouble_is_disk_trouble_wherever_it_shows(number: int) -> None:
    found = failures.as_step_error(OSError(number, os.strerror(number), "/store/x"))
    assert isinstance(found, DiskTrouble)
    assert "/store/x" in found.message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ConnectionResetError(),
    ],
)
def test_other_trouble_with_the_machine_may_pass(error: Exception) -> None:
    found = failures.as_step_error(error)
    assert type(found) is TransientError
    assert type(error).__name__ in found.message


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_file_that_may_not_be_used_is_permanent_and_named(code: int) -> None:
    found = failures.as_step_error(OSError(code, os.strerror(code), "/store/x"))
    assert type(found) is PermanentError
    assert "/store/x" in found.message
    for word in ("owner", "group", "umask"):
        assert word in found.hint


def test_what_nobody_expected_is_permanent_and_shows_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exception's own words may hold a DICOM value: neither status nor log has them."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match="hunter2") as raised:
        int(SECRET)
    found = failures.as_step_error(raised.value)
    assert type(found) is PermanentError
    assert "unexpected ValueError" in found.message
    assert "Traceback" not in found.message + found.hint
    assert SECRET not in found.message + found.hint + caplog.text
    assert "test_handle_message.py" in caplog.text


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
    assert (
        handle_message.handle(in_process_queue.worker, "fetch", "study_1", "v", 1)
        == "dropped"
    )
    in_process_queue.enqueue([V])
    in_process_queue.enqueue([V], force=True)
    before = in_process_queue.record(V)
    for step, generation in (("fetch", 1), ("fetch", 3), ("index_tar", 2), ("cleanup", 2)):
        assert (
            handle_message.handle(in_process_queue.worker, step, "study_1", "v", generation)
            == "dropped"
        )
    assert in_process_queue.record(V) == before


def test_a_worker_that_is_stopping_begins_nothing(in_process_queue: InProcessQueue) -> None:
    in_process_queue.enqueue([V])
    in_process_queue.worker.stopping = Stopping(lambda: 0.0, 0.0)
    message = in_process_queue.take()
    assert message
    assert in_process_queue.handle(message) == "stopping"
    assert in_process_queue.record(V).state == State.QUEUED


@pytest.mark.parametrize("state", ["running", "ready", "cleanup", "failed"])
def test_the_catalog_waits_for_visits_that_are_still_on_their_way(
    in_process_queue: InProcessQueue, state: str
) -> None:
    others = {
        "running": (0, False),
        "ready": (1, True),
        "cleanup": (0, True),
        "failed": (0, True),
    }
    in_process_queue.enqueue([V])
    if state == "running":
        assert not catalog_schedule.nobody_else_comes(
            in_process_queue.ledger, "study_1", others[state][0]
        )
    elif state == "failed":
        in_process_queue.producer.cancel([V])
        assert catalog_schedule.nobody_else_comes(in_process_queue.ledger, "study_1", 0)
    else:
        step = {"ready": "update_catalog", "cleanup": "cleanup"}[state]
        _advance(in_process_queue, step)
        ready = in_process_queue.ledger.ready_count("study_1", "update_catalog")
        assert ready == others[state][0]
        assert catalog_schedule.nobody_else_comes(in_process_queue.ledger, "study_1", ready)


def _advance(in_process_queue: InProcessQueue, step: str) -> None:
    from icfqueue.core.options import Outcome
    from icfqueue.ledger import record

    while in_process_queue.record(V).step != step:
        in_process_queue.ledger.update(
            V, lambda r: record.claimed(r, "t", "w:1", 1.0), lease=30.0
        )
        in_process_queue.ledger.update(
            V, lambda r: record.finished(r, Outcome(worked=True), 2.0)
        )


def test_every_error_of_a_step_is_an_entry_of_the_record() -> None:
    for error in (BadTarball("x"), StoreBusy("x")):
        assert isinstance(failures.as_step_error(error), StepError)
