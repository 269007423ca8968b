"""From the start of a worker to its end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import signals as celery_signals
from support.ledger import disconnect

from icfqueue.core.processes.json_log import JsonLines
from icfqueue.core.steps import NAMES
from workers import context, signals
from workers.app import app
from workers.bootsteps import OneAtHand, Supervision
from workers.context import WorkerContext


@pytest.fixture
def handlers() -> Iterator[None]:
    """The process' own handler of Ctrl-C, given back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_each_moment_of_a_worker_has_its_part() -> None:
    parts = {
        celery_signals.celeryd_init: signals._prepare,
        celery_signals.after_setup_logger: signals._quiet,
        celery_signals.worker_shutting_down: signals._stopping,
        celery_signals.worker_shutdown: signals._close,
        celery_signals.worker_process_init: signals._child,
        celery_signals.worker_process_shutdown: signals._child_ends,
    }
    for moment, part in parts.items():
        connected = [receiver() for _, receiver in moment.receivers]
        assert part in connected, part
    assert Supervision in app.steps["worker"]
    assert OneAtHand in app.steps["consumer"]


def test_before_the_fork_every_step_is_imported(worker: WorkerContext) -> None:
    """Once for all children, and before there are threads."""
    assert worker
    signals._prepare()
    assert {f"icfqueue.steps.{name}" for name in NAMES} <= set(sys.modules)
    # And what the first connection would import otherwise.
    assert set(signals._LATE_IMPORTS) <= set(sys.modules)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ICFQUEUE_STORE_DIR", "/nowhere", "is not there. give it with --store-dir"),
        ("ICFQUEUE_LEASE", "soon", "setting lease"),
    ],
)
@pytest.mark.usefixtures("worker")
def test_a_worker_that_cannot_work_ends_with_a_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        signals._prepare()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("icfqueue: ")
    assert said.count("\n") == 1
    assert words in said


def test_without_a_broker_named_the_embedded_one_is_started_and_left_at_the_end(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ICFQUEUE_BROKER_URL")
    address = context.broker_of(context.settings.load())
    signals._prepare()
    try:
        with address.check() as client:
            assert client.ping()
    finally:
        signals._close()
    assert not Path(address.url.partition("://")[2]).exists()
    assert worker


@pytest.mark.parametrize(
    ("level", "quiet"), [(logging.INFO, True), (None, True), (logging.DEBUG, False)]
)
def test_celerys_lines_for_each_message_are_left_out_unless_all_is_wanted(
    level: int | None, quiet: bool
) -> None:
    names = ("celery.worker.strategy", "celery.app.trace")
    before = [logging.getLogger(name).level for name in names]
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.NOTSET)
        signals._quiet(loglevel=level)
        wanted = logging.WARNING if quiet else logging.NOTSET
        assert [logging.getLogger(name).level for name in names] == [wanted] * 2
    finally:
        for name, old in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(old)


def test_a_stop_is_told_to_the_children_and_another_may_supervise(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = threading.Event()
    monkeypatch.setattr(signals, "supervision_ends", ends)
    signals._stopping()
    assert worker.stopping.asked
    assert ends.is_set()


@pytest.mark.usefixtures("handlers")
def test_only_its_parent_decides_when_a_child_stops(
    monkeypatch: pytest.MonkeyPatch, worker: WorkerContext
) -> None:
    """Ctrl-C in a terminal reaches every process of the group."""
    monkeypatch.setattr(context, "_contexts", {})
    signals._child()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    (made,) = context._contexts.values()
    assert made is not worker
    disconnect(made)


def test_the_git_annex_of_a_child_ends_with_it(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    assert worker.keys is not None
    monkeypatch.setattr(worker.keys, "close", lambda: closed.append(True))
    signals._child_ends()
    worker.keys = None
    signals._child_ends()
    assert closed == [True]


def test_a_log_for_collectors_has_a_json_object_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("of a test of JSON")
    logger.addHandler(logging.StreamHandler())
    signals._escape(logger)
    assert not isinstance(logger.handlers[0].formatter, JsonLines)
    monkeypatch.setenv("ICFQUEUE_LOG_FORMAT", "json")
    signals._escape(logger)
    assert isinstance(logger.handlers[0].formatter, JsonLines)
