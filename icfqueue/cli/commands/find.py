"""``icfqueue find``: visits by what was measured, over all projects."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import format_option, project_meant, store_dir_option
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.completers import complete_projects


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

    Each visit is printed with the command that clones it. All projects of the store
    directory are searched that have a catalog. The exit code is 1 if a project could
    not be searched. A search that takes longer than a minute is given up.
    """
    from icfqueue.cli import rows
    from icfqueue.reports.search import search
    from icfqueue.store.directory import Store

    store = Store.of(load_settings(where))
    store.check_is_there()
    told = search(store, expression, project)
    found = [
        {
            "project": one.visit.project,
            "visit": one.visit.id,
            "series": one.series,
            "images": one.images,
            "bytes": one.bytes,
            "command": f"icfqueue clone {one.visit.project} {one.visit.id}",
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
        click.echo("no visit has such a series")
    for name in told.without:
        click.echo(
            f"{name} was left out: its table of series is missing or damaged", err=True
        )
        click.echo(f"  icfqueue catalog {name}", err=True)
    for name in told.closed:
        click.echo(f"{name} was left out: you may not read its table", err=True)
    return int(bool(told.without or told.closed))


def _print_table(found: list[dict[str, Any]]) -> None:
    from icfqueue.cli import rows
    from icfqueue.cli.display.amounts import amount

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
    heads = ("project", "visit", "series", "images", "size", "command")
    rows.print_table(
        heads,
        lines,
        right="series images size",
        importance={"series": 70, "images": 60, "size": 50},
    )
