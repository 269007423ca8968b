"""Commands that do the work: ``run``, ``enqueue``, ``worker``."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.session import (
    Session,
    chosen_visits,
    options_of,
    session,
    visit_arguments,
    where_options,
    work_options,
)

if TYPE_CHECKING:
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.operations.enqueue import Enqueued, Plan


@click.command()
@visit_arguments
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=len(os.sched_getaffinity(0)),
    show_default="one for each core that it may use",
    help="Worker processes.",
)
@work_options
@where_options
def run(project: str, visits: tuple[str, ...], jobs: int, **wanted: Any) -> int:
    """Do a whole project (or some VISITs of it) on this machine.

    Shows progress and ends when nothing is left to be done. Ctrl-C stops it in order;
    the same command goes on.
    """
    from icfqueue.cli.progress import run_and_watch, workers_of

    with session(wanted) as opened:
        found = chosen_visits(opened, project, visits, wanted)
        with workers_of(opened, jobs) as force:
            if not wanted["dry_run"] and _much_to_do(opened, found, wanted):
                # They take as long to start as this command to plan and enqueue.
                force.start()
            plans, asked = _planned(opened, found, wanted)
            if wanted["dry_run"]:
                return _tell(plans) or int(bool(opened.left_out))
            options = options_of(opened.settings, wanted)
            _tell_enqueued(project, asked.enqueue(plans, options, wanted["priority"]))
            code = run_and_watch(opened, project, force)
            return code or int(bool(opened.left_out))


@click.command()
@visit_arguments
@work_options
@where_options
def enqueue(project: str, visits: tuple[str, ...], **wanted: Any) -> int:
    """Hand a whole project (or some VISITs of it) over to the workers, and return."""
    with session(wanted) as opened:
        found = chosen_visits(opened, project, visits, wanted)
        plans, asked = _planned(opened, found, wanted)
        if wanted["dry_run"]:
            return _tell(plans) or int(bool(opened.left_out))
        done = asked.enqueue(plans, options_of(opened.settings, wanted), wanted["priority"])
        _tell_enqueued(project, done)
        if done.enqueued and not opened.ledger.workers():
            click.echo(
                "No worker is running: start 'icfqueue worker' where the work is done."
            )
        return int(bool(opened.left_out))


@click.command()
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=len(os.sched_getaffinity(0)),
    show_default="one for each core that it may use",
    help="Processes that work on visits.",
)
@click.option(
    "--queues",
    metavar="NAMES",
    default="fetch,index,export,catalog",
    show_default=True,
    help="Queues to serve, with commas.",
)
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
@where_options
def worker(
    concurrency: int, queues: str, walltime: str | None, loglevel: str, **where: Any
) -> int:
    """Work on what is enqueued, until stopped.

    Starts Celery and watches it. SIGTERM or Ctrl-C: what runs may finish within the
    grace period, the rest goes back to the queue.
    """
    from icfqueue.cli.session import load_settings
    from icfqueue.operations.worker_process import Workforce, end_of_time, parse_queues

    chosen = load_settings(where)
    _check_password(chosen)
    force = Workforce(
        chosen,
        concurrency=concurrency,
        queues=parse_queues(queues),
        stop_at=end_of_time(walltime, chosen.grace),
        loglevel=loglevel,
    )
    return force.run()


def _check_password(chosen: Settings) -> None:
    """Raise if the broker refuses the log-in; one that is away is waited for."""
    import redis

    from icfqueue.broker.connection import configured
    from icfqueue.core.errors import Unreachable

    address = configured(chosen)
    try:
        if address is not None:
            address.check().close()
    except Unreachable as error:
        if isinstance(error.__context__, redis.AuthenticationError):
            raise


def _much_to_do(opened: Session, visits: list[Visit], wanted: dict[str, Any]) -> bool:
    """Tell, without a closer look, whether there will be work for workers."""
    from icfqueue.ledger.record import State

    done = opened.ledger.visits(visits[0].project, [State.DONE])
    return wanted["force"] or not set(visits) <= set(done)


def _planned(
    opened: Session, found: list[Visit], wanted: dict[str, Any]
) -> tuple[list[Plan], Any]:
    from icfqueue.operations.enqueue import Producer

    asked = Producer(opened.settings, opened.store, opened.ledger, opened.messages())
    return asked.plan(found, options_of(opened.settings, wanted)), asked


def _tell(plans: list[Plan]) -> int:
    """Print what would be done, and why."""
    for plan in plans:
        click.echo(f"{plan.visit.id}\t{plan.deed}\t{plan.why}")
    counts = Counter(plan.deed for plan in plans)
    words = ", ".join(f"{count} {deed}" for deed, count in counts.items())
    click.echo(f"{len(plans)} visits: {words}; nothing was changed")
    return 0


def _tell_enqueued(project: str, done: Enqueued) -> None:
    words = [f"{done.enqueued} enqueued"]
    if done.left:
        words.append(f"{done.left} under way already")
    if done.up_to_date:
        words.append(f"{done.up_to_date} up to date")
    click.echo(f"{project}: {', '.join(words)}")
