"""``icfqueue find``: visits by what was measured, over all projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import format_option, project_meant, store_dir_option
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.again import ours
from icfqueue.cli.shell.completers import complete_projects

if TYPE_CHECKING:
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.store.directory import Store


@click.command()
@click.argument("expression")
@click.option(
    "--project",
    metavar="PROJECT",
    callback=project_meant,
    shell_complete=complete_projects,
    help="Look at this project alone.",
)
@format_option("table", "csv", "json")
@store_dir_option
def find(expression: str, project: str | None, form: str, **where: Any) -> int:
    """Find the visits that have a series of which EXPRESSION is true.

    EXPRESSION is what stands behind WHERE in SQL (DuckDB's), over the columns project,
    visit, SeriesNumber, SeriesDescription, ProtocolName, Modality, MRAcquisitionType,
    PulseSequenceName, images, bytes and first_path, one row a series.

    Each visit is printed with the command that clones it: from the store URL where one is
    set, else from the store directory that was searched. All projects of the store
    directory are searched that have a catalog. The exit code is 1 if a project could
    not be searched. A search that takes longer than a minute is given up.
    """
    from icfqueue.cli import rows
    from icfqueue.cli.shell.folding import say
    from icfqueue.reports.search import search
    from icfqueue.store.directory import Store

    settings = load_settings(where)
    store = Store.of(settings)
    store.check_is_there()
    told = search(store, expression, project)
    found = [
        {
            "project": one.visit.project,
            "visit": one.visit.id,
            "series": one.series,
            "images": one.images,
            "bytes": one.bytes,
            "command": _command(store, settings, one.visit),
        }
        for one in told.found
    ]
    names = ("project", "visit", "series", "images", "bytes", "command")
    if form == "csv":
        rows.print_csv(names, found)
    elif form == "json":
        rows.print_json(found)
    elif found:
        _print_table(found)
    else:
        say("no visit has such a series")
    for name in told.without:
        said = f"{name} was left out: its table of series is missing or damaged"
        say(said, err=True)
        say(ours("catalog", name), 2, err=True)
    for name in told.closed:
        said = f"{name} was left out: you may not read its table"
        say(said, err=True)
    return int(bool(told.without or told.closed))


def _command(store: Store, settings: Settings, visit: Visit) -> str:
    from icfqueue.cli.live.closing import clone_command, web_command
    from icfqueue.core.settings import Settings

    # The default one need not be that of this store directory.
    if settings.store_url != Settings().store_url:
        return web_command(settings, visit.project, visit)
    return clone_command(store, visit.project, visit)


def _print_table(found: list[dict[str, Any]]) -> None:
    from icfqueue.cli import rows
    from icfqueue.cli.display.amounts import amount
    from icfqueue.cli.display.fitting import Column

    lines = [
        (
            one["project"],
            one["visit"],
            str(one["series"]),
            str(one["images"]),
            amount(one["bytes"]),
            one["command"],
        )
        for one in found
    ]
    columns = (
        Column("project"),
        Column("visit"),
        Column("series", 70, right=True),
        Column("images", 60, right=True),
        Column("size", 50, right=True),
        Column("command", paste=True),
    )
    rows.print_table(columns, lines)
