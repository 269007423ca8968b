"""``icfqueue retry``: let failed visits go on."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import visit_arguments, where_options
from icfqueue.cli.planning import counted, tell_left_alone
from icfqueue.cli.session import session


@click.command()
@visit_arguments
@click.option(
    "--state",
    type=click.Choice(["failed", "cancelled", "waiting"]),
    default="failed",
    show_default=True,
    help="Visits in this state go on.",
)
@where_options
def retry(project: str, visits: tuple[str, ...], state: str, **where: Any) -> int:
    """Let failed visits go on from the step that failed."""
    with session(where, asking=True) as opened:
        from icfqueue.ledger.record import State
        from icfqueue.operations.select_visits import select_recorded

        wanted = select_recorded(opened.ledger, project, visits, [State(state)])
        again = opened.producer.retry(wanted, [State(state)])
        word = "goes" if len(again) == 1 else "go"
        click.echo(f"{project}: {counted(len(again), 'visit')} {word} on")
        tell_left_alone(wanted, again, f"not {state}")
        if again and not opened.ledger.workers():
            click.echo(
                "No worker is running: start 'icfqueue worker', or use 'icfqueue run'."
            )
        return 0
