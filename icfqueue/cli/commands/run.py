"""``icfqueue run``: a whole project on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import (
    log_format_option,
    notify_options,
    visit_arguments,
    where_options,
    work_options,
)
from icfqueue.cli.planning import (
    chosen_visits,
    options_of,
    tell_enqueued,
    tell_plans,
    visits_of_new_store,
)
from icfqueue.cli.session import Session, session
from icfqueue.cli.shell.folding import say

if TYPE_CHECKING:
    from icfqueue.cli.live.asked import Asked
    from icfqueue.core.visit import Visit
    from icfqueue.operations.select_visits import Selection


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
@notify_options
@log_format_option
@where_options
def run(
    project: str,
    visits: tuple[str, ...],
    jobs: int,
    notify: str | None,
    command: str | None,
    **wanted: Any,
) -> int:
    """Do a whole project (or some VISITs of it) on this machine.

    Shows progress and ends when nothing is left to be done. Ctrl-C stops it: what
    runs may finish. The same command goes on.
    """
    from icfqueue.cli.progress import run_and_watch, when_accepted, workers_of
    from icfqueue.cli.shell.notices import notices
    from icfqueue.cli.shell.umask import warn_of_umask

    first = visits_of_new_store(project, visits, wanted)
    with session(wanted, wait=partial(say, err=True)) as opened:
        warn_of_umask(opened.store.root)
        found = first or chosen_visits(opened, project, visits, wanted)
        with (
            notices(opened, project, notify, command),
            workers_of(opened, jobs) as force,
        ):
            if not wanted["dry_run"] and _much_to_do(opened, found.visits, wanted):
                # They take as long to start as this command to plan and enqueue.
                force.start()
            options = options_of(opened.settings, wanted)
            plans = opened.producer.plan(found.visits, options)
            if wanted["dry_run"]:
                tell_plans(plans)
                return int(bool(found.left_out))
            done = when_accepted(
                opened,
                lambda: opened.producer.enqueue(plans, options, wanted["priority"]),
            )
            tell_enqueued(project, done)
            asked = _asked(opened, found, visits, wanted)
            code = run_and_watch(opened, asked, force)
            return code or int(bool(found.left_out))


def _asked(
    opened: Session,
    found: Selection,
    names: tuple[str, ...],
    wanted: dict[str, Any],
) -> Asked:
    """Return what the run answers for: all of the project, or the visits named."""
    from icfqueue.cli.live.asked import Asked

    project = found.project
    if not (names or wanted["visits_file"]):
        return Asked(opened.ledger, project, sizes=found.sizes)
    all_known = {*opened.store.visits(project), *opened.ledger.visits(project)}
    others = not all_known <= set(found.visits)
    return Asked(opened.ledger, project, found.visits, names, others, found.sizes)


def _much_to_do(opened: Session, visits: Sequence[Visit], wanted: dict[str, Any]) -> bool:
    """Tell, without a closer look, whether there will be work for workers."""
    from icfqueue.ledger.record import State

    done = opened.ledger.visits(visits[0].project, [State.DONE])
    return wanted["force"] or not set(visits) <= set(done)
