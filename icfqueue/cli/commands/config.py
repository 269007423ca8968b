"""``icfqueue config show``: each setting, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from icfqueue.cli.options import format_option, where_options
from icfqueue.cli.shell.folding import say
from icfqueue.cli.shell.loudness import verbose

if TYPE_CHECKING:
    from icfqueue.core.settings import Explained

MASK = "…"
"""Stands for a secret."""


@click.command()
@click.argument("what", type=click.Choice(["show"]))
@format_option("table", "json")
@click.option("--changed", is_flag=True, help="Only what differs from the defaults.")
@where_options
def config(what: str, form: str, *, changed: bool, **where: Any) -> int:
    """Tell each setting's value, and where it comes from.

    From the defaults, a file, the environment or an option; the last one counts.
    Passwords are not shown. What each means: icfqueue's reference of settings.
    """
    del what
    from icfqueue.cli.session import given_settings
    from icfqueue.core.configured.sources import config_files
    from icfqueue.core.settings import DEFAULT, explain

    if verbose():
        files = ", ".join(str(path.absolute()) for path in config_files())
        say(f"settings files: {files or 'none'}", err=True)
    found = [
        one
        for one in explain(**given_settings(where))
        if not changed or one.source != DEFAULT
    ]
    if form == "json":
        shown = [
            {"name": one.name, "value": as_shown(one), "source": one.source}
            for one in found
        ]
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(found)
    return 0


def _print(found: list[Explained]) -> None:
    from icfqueue.cli.display.columns import Columns
    from icfqueue.cli.display.fitting import Column
    from icfqueue.cli.display.terminal import cell, console, show
    from icfqueue.core.settings import DEFAULT

    table = Columns([Column("setting"), Column("from"), Column("value", prose=True)])
    for one in found:
        value = as_shown(one)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        style = "dim" if one.source == DEFAULT else ""
        table.add(one.name, cell(one.source, style), cell(text, style))
    show(console(), table)


def as_shown(one: Explained) -> Any:
    """Return the value of a setting as it may be shown."""
    if one.name == "notify" and one.value is not None:
        # All behind the host may be a password.
        parts = urlsplit(one.value.reveal())
        return f"{parts.scheme}://{parts.hostname}/{MASK}" if parts.hostname else MASK
    return masked(one.value)


def masked(value: Any) -> Any:
    """Return a setting's value as it may be shown: no password, plain types."""
    from icfqueue.core.settings import Secret

    if isinstance(value, Secret):
        return _address(value.reveal())
    if isinstance(value, Path):
        return str(value)
    return value


def _address(text: str) -> str:
    """Return an address without its password; of anything else nothing."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    if not parts.scheme or "://" not in text:
        return MASK
    login, at, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    shown = f"{user}:{MASK}@" if ":" in login else f"{user}{at}"
    # What follows a question mark may be a password, too.
    query = f"?{MASK}" if parts.query else ""
    return f"{parts.scheme}://{shown}{host}{parts.path}{query}"
