"""``icfqueue enqueue``: hand a project over to the workers."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import visit_arguments, where_options, work_options
from icfqueue.cli.planning import (
    chosen_visits,
    options_of,
    tell_enqueued,
    tell_plans,
    visits_of_new_store,
)
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import nobody_works
from icfqueue.cli.shell.folding import say


@click.command()
@visit_arguments
@work_options
@where_options
def enqueue(project: str, visits: tuple[str, ...], **wanted: Any) -> int:
    """Hand a whole project (or some VISITs of it) over to the workers, and return."""
    first = visits_of_new_store(project, visits, wanted)
    with session(wanted) as opened:
        found = first or chosen_visits(opened, project, visits, wanted)
        options = options_of(opened.settings, wanted)
        plans = opened.producer.plan(found.visits, options)
        if wanted["dry_run"]:
            tell_plans(plans)
            return int(bool(found.left_out))
        done = opened.producer.enqueue(plans, options, wanted["priority"])
        tell_enqueued(project, done)
        if done.enqueued and not opened.ledger.workers():
            say(nobody_works(project))
        return int(bool(found.left_out))
