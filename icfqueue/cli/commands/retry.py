"""``icfqueue retry``: let failed visits go on."""

from __future__ import annotations

import os
from typing import Any

import click

from icfqueue.cli.options import cause_option, visit_arguments, where_options
from icfqueue.cli.planning import counted, tell_left_alone
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import ours
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
        from icfqueue.ledger.record import State
        from icfqueue.operations.select_visits import of_causes, select_recorded

        wanted = select_recorded(opened.ledger, project, visits, [State(state)])
        chosen = of_causes(opened.ledger, wanted, causes) if causes else wanted
        again = opened.producer.retry(chosen, [State(state)], accepted_by=by)
        word = "goes" if len(again) == 1 else "go"
        click.echo(f"{project}: {counted(len(again), 'visit')} {word} on")
        why = f" by {' or '.join(causes)}" if causes else ""
        tell_left_alone(wanted if visits else chosen, again, f"not {state}{why}")
        if again and not opened.ledger.workers():
            here = ours("run", project, *visits)
            click.echo(f"No worker is running: start 'icfqueue worker', or use `{here}`.")
        return 0
