"""``icfqueue worker``: work on what is enqueued, until stopped."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import log_format_option, queues_option, where_options
from icfqueue.cli.session import load_settings

if TYPE_CHECKING:
    from icfqueue.core.settings import Settings


@click.command()
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=len(os.sched_getaffinity(0)),
    show_default="one for each core that it may use",
    help="Processes that work on visits.",
)
@queues_option
@click.option(
    "--walltime",
    metavar="TIME",
    help="Be gone after this time: 90m, 4h, 1-12:00:00 (as Slurm has it).",
)
@click.option(
    "--loglevel",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
)
@log_format_option
@where_options
def worker(
    concurrency: int, queues: str, walltime: str | None, loglevel: str, **where: Any
) -> int:
    """Work on what is enqueued, until stopped.

    Starts Celery and watches it. SIGTERM or Ctrl-C: what runs may finish within the
    grace period, the rest goes back to the queue.
    """
    from icfqueue.cli.shell.umask import warn_of_umask
    from icfqueue.operations.worker_process import WorkerProcess, end_of_time, parse_queues

    chosen = load_settings(where)
    _check_broker(chosen)
    warn_of_umask(chosen.store_dir)
    force = WorkerProcess(
        chosen,
        concurrency=concurrency,
        queues=parse_queues(queues),
        stop_at=end_of_time(walltime, chosen.grace),
        loglevel=loglevel,
        say=partial(click.secho, fg="red", err=True),
    )
    return force.run()


def _check_broker(chosen: Settings) -> None:
    """Raise if the broker refuses the log-in, or works for another store.

    One that is away is waited for, and so is a store that is not mounted yet.
    """
    import redis

    from icfqueue.broker.connection import configured
    from icfqueue.core.errors import Unreachable
    from icfqueue.ledger.redis_ledger import RedisLedger
    from icfqueue.pipeline.health.store_watch import StoreWatch
    from icfqueue.store.directory import Store

    address = configured(chosen)
    try:
        if address is not None:
            with address.check() as client:
                StoreWatch(Store.of(chosen), RedisLedger(client)).check_asking()
    except Unreachable as error:
        if isinstance(error.__context__, redis.AuthenticationError):
            raise
