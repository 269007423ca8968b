"""``icfqueue config show``: each setting, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from icfqueue.cli.options import format_option, where_options

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
    from icfqueue.core.settings import DEFAULT, explain

    found = [
        one
        for one in explain(**given_settings(where))
        if not changed or one.source != DEFAULT
    ]
    if form == "json":
        shown = [
            {"name": one.name, "value": masked(one.value), "source": one.source}
            for one in found
        ]
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(found)
    return 0


def _print(found: list[Explained]) -> None:
    from rich.table import Table

    from icfqueue.cli.tables import cell, console

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for one in found:
        value = masked(one.value)
        text = value if isinstance(value, str) else json.dumps(value)
        style = "dim" if one.source == "default" else ""
        table.add_row(cell(one.name), cell(text, style), cell(one.source, style))
    console().print(table)


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
