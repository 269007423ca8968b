"""``icfqueue forget``: remove records."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import project_argument, visits_argument, where_options
from icfqueue.cli.planning import counted
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import whole
from icfqueue.cli.shell.folding import say


@click.command()
@project_argument
@visits_argument(required=True)
@click.option("--force", is_flag=True, help="Also visits that are being worked on.")
@where_options
def forget(project: str, visits: tuple[str, ...], *, force: bool, **where: Any) -> int:
    """Remove the records of VISITs of PROJECT, and what lies in their work folders.

    No tarball and no output is removed. For records that cannot be read, and for visits
    that shall not be shown any more; 'icfqueue enqueue' begins anew. The exit code is 1
    if a visit was left alone.
    """
    with session(where, asking=True) as opened:
        from icfqueue.core.visit import expand
        from icfqueue.operations import reconcile as records

        named = expand(project, visits, lambda: opened.ledger.visits(project))
        done = records.forget(opened.store, opened.ledger, named, force=force)
        for visit, why in done.left.items():
            say(f"{visit.id}: left alone, {whole(why)}", err=True)
        say(f"{project}: {counted(len(done.gone), 'record')} removed")
        return int(bool(done.left))
