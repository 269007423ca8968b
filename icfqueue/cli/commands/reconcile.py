"""``icfqueue reconcile``: make lost records anew."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import project_argument, where_options
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import ours, whole
from icfqueue.cli.shell.folding import say


@click.command()
@project_argument
@where_options
def reconcile(project: str, **where: Any) -> int:
    """Make lost records of PROJECT anew from what lies in the store.

    For a broker whose data are gone, damaged or taken from a backup. Complete visits are
    done again; 'icfqueue enqueue' goes on with the rest. Where a record and the store say
    different things, it is told, and nothing is changed.
    """
    from icfqueue.operations import reconcile as records

    with session(where, folder_of=project) as opened:
        found = records.reconcile(opened.settings, opened.store, opened.ledger, project)
        for visit, why in found.left.items():
            say(f"{visit.id}: {whole(why)}")
        for visit, what in found.differing.items():
            say(f"{visit.id}: {what}")
        say(
            f"{project}: {len(found.restored)} records made anew, "
            f"{len(found.known)} were there, {len(found.left)} visits not complete"
        )
        if found.left:
            say(f"To go on with these: {ours('enqueue', project)}")
    return 0
