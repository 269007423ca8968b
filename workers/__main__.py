"""Starts a worker as ``celery -A workers worker`` does, a quarter of a second sooner.

Celery's command line imports all its subcommands first, a shell among them. Used by
:mod:`icfqueue.operations.worker_process`; not meant for people, who have
``icfqueue worker``.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from celery.exceptions import SecurityWarning

from icfqueue.core import settings
from workers.app import app


def main() -> int:
    """Run a worker until it is stopped; return Celery's exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--queues", required=True, help="names, with commas")
    parser.add_argument("--hostname", required=True, help="the worker's own name")
    parser.add_argument("--loglevel", default="info")
    chosen = parser.parse_args()
    # Celery's advice to root, on three lines, is an option that is not here. What makes
    # root dangerous there are pickles, which are refused.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = app.Worker(
        concurrency=chosen.concurrency,
        queues=chosen.queues.split(","),
        hostname=chosen.hostname,
        loglevel=chosen.loglevel.upper(),
        # Workers need not know of each other: the ledger does.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        # The picture at the start is for people.
        quiet=settings.load().log_format == "json",
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
