"""``icfqueue series``: what was measured, one row a series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from icfqueue.cli.options import (
    format_option,
    one_visit_argument,
    project_argument,
    store_dir_option,
)
from icfqueue.cli.session import load_settings

HEADS = ("visit", "series", "description", "protocol", "modality", "images", "size")
IMPORTANCE = {"series": 80, "images": 70, "size": 60, "modality": 50, "protocol": 40}


@click.command()
@project_argument
@one_visit_argument
@format_option("table", "csv", "json")
@store_dir_option
def series(project: str, visit: str | None, form: str, **where: Any) -> int:
    """List the series of all visits of PROJECT, or of one VISIT, or of a glob of them.

    Number, description, protocol, modality, images and bytes of each, and the path in
    the tarball of its first image. The exit code is 1 if a visit's metadata cannot be
    read.
    """
    from icfqueue.cli import rows
    from icfqueue.cli.display.amounts import amount
    from icfqueue.core.visit import Visit, expand, is_glob, visit_named
    from icfqueue.reports import series_rows
    from icfqueue.store.directory import Store

    store = Store.of(load_settings(where))
    store.check_is_there()
    if visit is None or is_glob(visit):
        told = series_rows.of_project(store, project)
        if visit is not None:
            known = {Visit(project, row.visit) for row in told.rows}
            wanted = {one.id for one in expand(project, [visit], lambda: sorted(known))}
            told = replace(told, rows=[row for row in told.rows if row.visit in wanted])
    else:
        told = series_rows.of_visit(store, Visit(project, visit_named(project, visit)))
    found = map(series_rows.as_dict, told.rows)
    if form == "csv":
        rows.print_csv(list(series_rows.FIELDS), found)
    elif form == "json":
        rows.print_json(found)
    else:
        lines = [
            (
                row.visit,
                "" if row.number is None else str(row.number),
                row.description or row.protocol,
                row.protocol,
                row.modality,
                str(row.images),
                amount(row.bytes),
            )
            for row in told.rows
        ]
        rows.print_table(
            HEADS,
            lines,
            right="series images size",
            cut="description",
            importance=IMPORTANCE,
        )
    for untold, error in told.untold.items():
        click.secho(f"{untold.id}: {error.message}", fg="red", err=True)
        click.echo(f"  {error.hint}", err=True)
    return int(bool(told.untold))
