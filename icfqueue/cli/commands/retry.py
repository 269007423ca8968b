"""``icfqueue retry``: let failed visits go on."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import cause_option, visit_arguments, where_options
from icfqueue.cli.planning import counted, tell_left_alone
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import nobody_works


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
@where_options
def retry(
    project: str, visits: tuple[str, ...], state: str, causes: tuple[str, ...], **where: Any
) -> int:
    """Let failed visits go on from the step that failed."""
    with session(where, asking=True) as opened:
        from icfqueue.ledger.record import State
        from icfqueue.operations.select_visits import of_causes, select_recorded

        wanted = select_recorded(opened.ledger, project, visits, [State(state)])
        chosen = of_causes(opened.ledger, wanted, causes) if causes else wanted
        again = opened.producer.retry(chosen, [State(state)])
        word = "goes" if len(again) == 1 else "go"
        click.echo(f"{project}: {counted(len(again), 'visit')} {word} on")
        by = f" by {' or '.join(causes)}" if causes else ""
        tell_left_alone(wanted if visits else chosen, again, f"not {state}{by}")
        if again and not opened.ledger.workers():
            click.echo(nobody_works(project, *visits))
        return 0
