"""``icfqueue events``: what happens in all projects, as it happens."""

from __future__ import annotations

import time
from typing import Any

import click

from icfqueue.cli.commands.logs import tell
from icfqueue.cli.options import lines_format_option, notify_options, where_options
from icfqueue.cli.session import session
from icfqueue.core.errors import UsageError

LOOK_AGAIN = 0.5
"""Seconds between two looks for what is new."""


@click.command()
@click.option("--project", metavar="PROJECT", help="Only what happens in this project.")
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
            for event in opened.ledger.events.all():
                if project in {None, event.project}:
                    tell(event, form, whole=True)
            return 0
        from icfqueue.cli.shell.notices import notices

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
