"""``icfqueue events``: what happens in all projects, as it happens."""

from __future__ import annotations

import time
from typing import Any

import click

from icfqueue.cli.commands.logs import tell
from icfqueue.cli.options import (
    lines_format_option,
    notify_options,
    project_meant,
    where_options,
)
from icfqueue.cli.session import Session, session
from icfqueue.cli.shell.again import ours
from icfqueue.cli.shell.completers import complete_projects
from icfqueue.core.errors import UsageError

LOOK_AGAIN = 0.5
"""Seconds between two looks for what is new."""


@click.command()
@click.option(
    "--project",
    metavar="PROJECT",
    callback=project_meant,
    shell_complete=complete_projects,
    help="Only what happens in this project.",
)
@click.option("--follow", is_flag=True, help="What happens from now on, until Ctrl-C.")
@lines_format_option
@notify_options
@where_options
def events(
    project: str | None,
    form: str,
    notify: str | None,
    command: str | None,
    *,
    follow: bool,
    **where: Any,
) -> int:
    """Tell what happens to visits: all that is kept, or with --follow what comes."""
    if (notify or command) and not follow:
        raise UsageError("--notify and --exec go with --follow")
    with session(where, asking=True) as opened:
        if not follow:
            _tell_all(opened, project, form)
            return 0
        from icfqueue.cli.shell.notices import notices

        if project is not None and project not in opened.ledger.projects():
            # It may come; but it may be mistyped as well.
            words = f"nothing of project {project} was ever enqueued; waiting for it"
            click.secho(words, fg="yellow", err=True)
        with notices(opened, project, notify, command):
            last = opened.ledger.events.now()
            while True:
                for event in opened.ledger.events.after(last):
                    last = event.id
                    if project in {None, event.project}:
                        tell(event, form, whole=True)
                if opened.embedded:
                    opened.embedded.ensure()
                time.sleep(LOOK_AGAIN)


def _tell_all(opened: Session, project: str | None, form: str) -> None:
    """Tell all that is kept.

    Raises
    ------
    UsageError
        The project was never enqueued.
    """
    if project is not None:
        from icfqueue.operations.select_visits import check_recorded

        check_recorded(opened.ledger, project)
    told = False
    for event in opened.ledger.events.all():
        if project in {None, event.project}:
            told = True
            tell(event, form, whole=True)
    if project is not None and not told:
        click.echo(
            f"No event of {project} is kept (any more); "
            f"`{ours('status', project)}` tells where it stands.",
            err=True,
        )
