"""``icfqueue cancel``: withdraw visits."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import visit_arguments, where_options
from icfqueue.cli.planning import counted, tell_left_alone
from icfqueue.cli.session import session
from icfqueue.cli.shell.folding import say


@click.command()
@visit_arguments
@where_options
def cancel(project: str, visits: tuple[str, ...], **where: Any) -> int:
    """Withdraw visits that are queued, running or waiting."""
    with session(where, asking=True) as opened:
        from icfqueue.ledger.record import ACTIVE
        from icfqueue.operations.select_visits import select_recorded

        wanted = select_recorded(opened.ledger, project, visits, list(ACTIVE))
        gone = opened.producer.cancel(wanted)
        say(f"{project}: {counted(len(gone), 'visit')} cancelled")
        tell_left_alone(wanted, gone, "not active")
        return 0
