"""From the start of a worker to its end: what Celery does not do by itself."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
from contextlib import ExitStack
from typing import Any

from celery import signals

from icfqueue.broker import connection
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core import settings, steps
from icfqueue.core.errors import IcfqueueError
from icfqueue.core.plain_text import escape_record
from icfqueue.core.processes.json_log import JsonLines
from icfqueue.steps import registry
from icfqueue.store.directory import Store
from workers import pulse
from workers.app import app
from workers.bootsteps import OneAtHand, Pulse, Supervision, supervision_ends
from workers.context import ask_to_stop, this_worker
from workers.telling.events import courier

_LATE_IMPORTS = (
    "encodings.idna",
    "icfqueue.broker.sockets",
    "icfqueue.broker.transport",
    "redis",
    "redis.backoff",
    "redis.retry",
    "ssl",
)
"""What Python, redis-py and we import at the first connection."""

_opened = ExitStack()

app.steps["worker"].add(Pulse)
app.steps["worker"].add(Supervision)
app.steps["consumer"].add(OneAtHand)


@signals.celeryd_init.connect
def _prepare(**_: Any) -> None:
    """Check what a worker needs, and start the embedded broker if it is to be used."""
    # Imported here, before the fork, once for all children and not in a visit's time;
    # and before there are threads, in which an import would be a trap for later forks.
    for module in _LATE_IMPORTS:
        importlib.import_module(module)
    for name in steps.NAMES:
        registry.module_of(name)
    try:
        chosen = settings.load()
        Store(chosen.store_dir).check_is_there()
        if connection.configured(chosen) is None:
            _opened.enter_context(EmbeddedServer(chosen.store_dir))
    except IcfqueueError as error:
        sys.stderr.write(f"icfqueue: {error.message}. {error.hint}".rstrip() + "\n")
        raise SystemExit(error.exit_code) from None


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _escape(logger: logging.Logger, **_: Any) -> None:
    """Have no control character reach a log, whoever logs it; write it as was chosen."""
    for handler in logger.handlers:
        handler.addFilter(escape_record)
        if settings.load().log_format == "json":
            handler.setFormatter(JsonLines())


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
    pulse.beat(pulse.STOPPING)
    supervision_ends.set()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    """Send the last events, and leave the embedded broker."""
    courier.finish()
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
    this_worker().show(None)
