"""``icfqueue retry``: let failed visits go on."""

from __future__ import annotations

import os
from typing import Any

import click

from icfqueue.cli.options import cause_option, visit_arguments, where_options
from icfqueue.cli.planning import counted, tell_left_alone
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import nobody_works
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import UsageError


@click.command()
@visit_arguments
@click.option(
    "--state",
    type=click.Choice(["failed", "cancelled", "waiting"]),
    default="failed",
    show_default=True,
    help="Visits in this state go on.",
)
@cause_option
@click.option(
    "--accept-identifiers",
    is_flag=True,
    help="Let visits through that fail for 'identifiers'; the record notes who did.",
)
@where_options
def retry(
    project: str,
    visits: tuple[str, ...],
    state: str,
    causes: tuple[str, ...],
    *,
    accept_identifiers: bool,
    **where: Any,
) -> int:
    """Let failed visits go on from the step that failed."""
    by = ""
    if accept_identifiers:
        if state != "failed" or set(causes) - {"identifiers"}:
            raise UsageError(
                "--accept-identifiers is for visits that failed for 'identifiers' alone",
                hint="leave out --state and --cause",
            )
        from icfqueue.store.beneath.sharing import user_name

        causes, by = ("identifiers",), user_name(os.getuid())
    with session(where, asking=True) as opened:
        from icfqueue.core.plain_text import escaped
        from icfqueue.ledger.record import State
        from icfqueue.operations.select_visits import of_causes, select_recorded
        from icfqueue.operations.status import Wanted, no_such_cause

        wanted = select_recorded(opened.ledger, project, visits, [State(state)])
        chosen = of_causes(opened.ledger, wanted, causes) if causes else wanted
        if not chosen and causes:
            asked = Wanted((State(state),), causes, wanted if visits else None)
            click.echo(escaped(no_such_cause(opened.ledger, project, asked)))
            return 0
        again = opened.producer.retry(chosen, [State(state)], accepted_by=by)
        word = "goes" if len(again) == 1 else "go"
        say(f"{project}: {counted(len(again), 'visit')} {word} on")
        why = f" by {' or '.join(causes)}" if causes else ""
        tell_left_alone(wanted if visits else chosen, again, f"not {state}{why}")
        if again and not opened.ledger.workers():
            say(nobody_works(project, *visits))
        return 0
