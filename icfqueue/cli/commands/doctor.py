"""``icfqueue doctor``: check what is needed."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import project_meant, where_options
from icfqueue.cli.session import load_settings


@click.command()
@click.option("--credential", metavar="NAME", help="DataLad credential for the store.")
@click.option(
    "--project",
    callback=project_meant,
    help="Also try to list this project at the store URL.",
)
@where_options
def doctor(project: str | None, **where: Any) -> int:
    """Check what is needed: a line for each thing, with the remedy."""
    from icfqueue.core.plain_text import escaped
    from icfqueue.operations import doctor as checks

    worst = 0
    for found in checks.examine(load_settings(where), project):
        mark, colour = ("note", "yellow") if found.note else ("ok  ", "green")
        if found.bad:
            mark, colour = "BAD ", "red"
        click.secho(mark, fg=colour, nl=False)
        # What other programs and servers answer is among it.
        click.echo(escaped(f" {found.what}: {found.found}"))
        if found.remedy:
            click.echo(escaped(f"      {found.remedy}"))
        worst = max(worst, found.exit_code if found.bad else 0)
    return worst
