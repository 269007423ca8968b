"""``icfqueue doctor``: check what is needed."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import credential_option, project_meant, where_options
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.again import whole


@click.command()
@credential_option
@click.option(
    "--project",
    callback=project_meant,
    help="Also try to list this project at the store URL.",
)
@click.option(
    "--fleet",
    is_flag=True,
    help="Compare the workers that live instead, wherever they are.",
)
@where_options
def doctor(project: str | None, *, fleet: bool, **where: Any) -> int:
    """Check what is needed: a line for each thing, with the remedy.

    With --fleet: whether workers have the same versions of what writes deposits, the same
    store directory, umask and clock, and room on the disk.
    """
    from icfqueue.core.plain_text import escaped
    from icfqueue.operations import doctor as checks

    settings = load_settings(where)
    worst = 0
    looked_at = (
        checks.examine_fleet(settings) if fleet else checks.examine(settings, project)
    )
    for found in looked_at:
        mark, colour = ("note", "yellow") if found.note else ("ok  ", "green")
        if found.bad:
            mark, colour = "BAD ", "red"
        click.secho(mark, fg=colour, nl=False)
        # What other programs and servers answer is among it.
        click.echo(escaped(f" {found.what}: {found.found}"))
        if found.remedy:
            click.echo(escaped(f"      {whole(found.remedy)}"))
        worst = max(worst, found.exit_code if found.bad else 0)
    return worst
