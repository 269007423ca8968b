"""From the start of a worker to its end: what Celery does not do by itself.

The main process supervises, in a thread, and tells its children when it is asked to
stop. Each child has its own connection to the ledger.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import ExitStack
from typing import Any

import click
from celery import bootsteps, signals

from icfqueue.broker import connection
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core import settings
from icfqueue.core.errors import IcfqueueError
from icfqueue.core.plain_text import EscapingFilter
from icfqueue.dataset.programs import KeySource
from icfqueue.ledger.ledger import Ledger
from icfqueue.pipeline.attempt import Worker
from icfqueue.pipeline.heartbeat import LAST_WORD, Stopping
from icfqueue.pipeline.messages import Messages
from icfqueue.pipeline.supervisor import Supervisor
from icfqueue.steps import registry
from icfqueue.store.directory import Store
from workers.app import app

log = logging.getLogger(__name__)

PARENT_VARIABLE = "ICFQUEUE_PARENT"
"""Process id without which this worker stops: that of ``icfqueue worker``."""

LOST = 5.0
"""Seconds after which a message that is not in its queue is suspected to be lost; no
longer than a lease: a site that wants quick recovery wants it of both."""

STOP_AT_VARIABLE = "ICFQUEUE_STOP_AT"
"""Time (seconds since 1970) at which the worker takes no more work."""

_LAST_RESORT = settings.load().grace + LAST_WORD + 10.0
"""Seconds after which a worker without a parent, asked to stop, is killed."""

_LATE_IMPORTS = ("encodings.idna", "redis", "redis.backoff", "redis.retry", "ssl")
"""What Python and redis-py import at the first connection."""

_stop_asked = multiprocessing.get_context("fork").Value("d", 0.0, lock=False)
"""When this worker was asked to stop (``time.monotonic``), or 0; shared with children."""

_supervision_ends = threading.Event()
"""Set when another worker is to look after the visits."""

_opened = ExitStack()


def stop_since() -> float | None:
    """Return when this worker was asked to stop, or None."""
    return _stop_asked.value or None


def ask_to_stop() -> None:
    """Begin no more work, and end what runs when the grace period is over."""
    if not _stop_asked.value:
        _stop_asked.value = time.monotonic()


_workers: dict[int, Worker] = {}


def this_worker() -> Worker:
    """Return what this process works with; a fork must not share connections."""
    pid = os.getpid()
    if pid not in _workers:
        _workers[pid] = _make_worker()
    return _workers[pid]


def _make_worker() -> Worker:
    chosen = settings.load()
    address = connection.configured(chosen) or EmbeddedServer(chosen.store_dir).broker
    ledger = Ledger(address.connect(patient=True), flush_after=chosen.catalog_gather)
    return Worker(
        settings=chosen,
        store=Store(chosen.store_dir),
        ledger=ledger,
        quick=Ledger(address.connect(), flush_after=chosen.catalog_gather),
        messages=Messages(app, ledger),
        stopping=Stopping(stop_since, chosen.grace),
        keys=KeySource(),
    )


class Supervision(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Runs the supervisor in a thread of the worker's main process."""

    # After the pool: a process forked while a thread imports a module inherits the
    # import's lock, for ever.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.stop_thread = _supervision_ends
        self.thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin to look; called when the worker's pool is up."""
        if self.thread:
            return
        worker = this_worker()
        supervisor = Supervisor(
            worker.quick,
            Messages(app, worker.quick),
            worker.settings,
            patience=min(LOST, worker.settings.lease),
        )
        self.thread = threading.Thread(
            target=supervisor.run,
            args=(self.stop_thread, lambda: worker.quick.worker_lives(worker.name)),
            name="supervisor",
            daemon=True,
        )
        self.thread.start()
        # Of its own, for it must go on when supervision has ended.
        threading.Thread(target=_mind_the_end, name="end", daemon=True).start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Let another worker take over."""
        self.stop_thread.set()
        if self.thread:
            self.thread.join(timeout=5.0)


class OneAtHand(bootsteps.Step):  # type: ignore[misc]  # Celery is untyped
    """Lets the worker hold one message more than it has processes.

    A small step takes no longer than its message's way from the broker, which so need
    not be waited for. More would have visits wait behind large tarballs while other
    workers are idle; this one is sent again if it waits for long.
    """

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        parent.initial_prefetch_count += 1


app.steps["worker"].add(Supervision)
app.steps["consumer"].add(OneAtHand)


def _mind_the_end() -> None:
    """Stop the worker with its parent or at the end of its time; runs until then."""
    parent = os.environ.get(PARENT_VARIABLE)
    stop_at = float(os.environ.get(STOP_AT_VARIABLE) or "inf")
    while True:
        time.sleep(_LOOK)
        orphan = parent is not None and os.getppid() != int(parent)
        if (orphan or time.time() > stop_at) and not _stop_asked.value:
            log.warning("worker stops: %s", "parent gone" if orphan else "end of time")
            ask_to_stop()
            os.kill(os.getpid(), signal.SIGTERM)
        elif orphan and time.monotonic() > _stop_asked.value + _LAST_RESORT:
            # Celery does not end while it looks for a broker that is away, and nobody
            # else is left who could end it.
            os.killpg(os.getpgrp(), signal.SIGKILL)


_LOOK = 0.5
"""Seconds between two looks at parent and clock."""


@signals.celeryd_init.connect
def _prepare(**_: Any) -> None:
    """Check what a worker needs, and start the embedded broker if it is to be used."""
    # Imported here, before the fork, once for all children and not in a visit's time;
    # and before there are threads, in which an import would be a trap for later forks.
    for module in (*_LATE_IMPORTS, *(step.module for step in registry.STEPS)):
        importlib.import_module(module)
    try:
        chosen = settings.load()
        Store(chosen.store_dir).check_is_there()
        if connection.configured(chosen) is None:
            _opened.enter_context(EmbeddedServer(chosen.store_dir))
    except IcfqueueError as error:
        click.echo(f"icfqueue: {error.message}. {error.hint}".rstrip(), err=True)
        raise SystemExit(error.exit_code) from None


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _escape(logger: logging.Logger, **_: Any) -> None:
    """Have no control character reach a log, whoever logs it."""
    for handler in logger.handlers:
        handler.addFilter(EscapingFilter())


@signals.after_setup_logger.connect
def _quiet(loglevel: int | None = None, **_: Any) -> None:
    """Leave out Celery's own two lines for each message: ours say more."""
    if (loglevel or logging.INFO) > logging.DEBUG:
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


@signals.worker_shutting_down.connect
def _stopping(**_: Any) -> None:
    """Tell the children; called from the handler of SIGTERM and its like.

    Whoever begins at this moment need not wait until this worker is gone.
    """
    ask_to_stop()
    _supervision_ends.set()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    """Leave the embedded broker."""
    _opened.close()


@signals.worker_process_shutdown.connect
def _child_ends(**_: Any) -> None:
    """End the git-annex that this process kept."""
    worker = this_worker()
    if worker.keys:
        worker.keys.close()


@signals.worker_process_init.connect
def _child(**_: Any) -> None:
    """Prepare a child: only its parent decides when it stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    this_worker()
