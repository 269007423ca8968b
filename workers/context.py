"""What each process of a worker works with, and whether it is to stop.

The main process supervises and tells its children when it is asked to stop. Each child
has its own connections.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import msgspec
from billiard import current_process

from icfqueue.broker import connection
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.broker.queues import Queues
from icfqueue.core import settings
from icfqueue.core.processes.board import Board
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.roster import JobSign
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.pipeline.messages import Messages
from icfqueue.pipeline.supervisor import Supervisor
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.store.directory import Store
from workers.app import app

LOST = 5.0
"""Seconds after which a message that is not in its queue is suspected to be lost; no
longer than a lease: a site that wants quick recovery wants it of both."""

_stop_asked = multiprocessing.get_context("fork").Value("d", 0.0, lock=False)
"""When this worker was asked to stop (``time.monotonic``), or 0; shared with children."""

_board = Board()
"""What each process of this worker is at."""

_contexts: dict[int, WorkerContext] = {}


def stop_since() -> float | None:
    """Return when this worker was asked to stop (``time.monotonic``), or None."""
    return _stop_asked.value or None


def ask_to_stop() -> None:
    """Begin no more work, and end what runs when the grace period is over."""
    if not _stop_asked.value:
        _stop_asked.value = time.monotonic()


def stop_this_worker() -> None:
    """Have the main process, which calls this, stop as by SIGTERM."""
    ask_to_stop()
    os.kill(os.getpid(), signal.SIGTERM)


def show(sign: JobSign | None) -> None:
    """Show the main process what this one is at; None: nothing.

    A process that takes the place of one that died has its index, hence its slot.
    """
    text = msgspec.json.encode(sign).decode() if sign else ""
    _board.write(getattr(current_process(), "index", 0), text)


def jobs() -> list[JobSign]:
    """Return what the processes of this worker are at."""
    return [msgspec.json.decode(text, type=JobSign) for text in _board.read()]


def broker_of(chosen: settings.Settings) -> connection.Broker:
    """Return the broker that the settings name, or the embedded one of the store."""
    return connection.configured(chosen) or EmbeddedServer(chosen.store_dir).broker


def this_worker() -> WorkerContext:
    """Return what this process works with; a fork must not share connections."""
    pid = os.getpid()
    if pid not in _contexts:
        _contexts[pid] = _make_context()
    return _contexts[pid]


def _make_context() -> WorkerContext:
    chosen = settings.load()
    broker = broker_of(chosen)
    pause = min(connection.LONGEST_PAUSE, chosen.lease / 4)
    patient = broker.connect(patient=True, longest_pause=pause)
    ledger = RedisLedger(patient, flush_after=chosen.catalog_gather)
    return WorkerContext(
        settings=chosen,
        store=Store.of(chosen),
        ledger=ledger,
        quick=RedisLedger(broker.connect(), flush_after=chosen.catalog_gather),
        messages=Messages(app, ledger),
        stopping=Stopping(stop_since, chosen.grace),
        keys=KeySource(),
        show=show,
    )


def make_supervisor(worker: WorkerContext) -> Supervisor:
    """Return what looks after all visits, over connections that do not wait."""
    return Supervisor(
        worker.quick,
        Messages(app, worker.quick),
        Queues(broker_of(worker.settings).connect()),
        worker.settings,
        patience=min(LOST, worker.settings.lease),
        refused=stop_this_worker,
    )
