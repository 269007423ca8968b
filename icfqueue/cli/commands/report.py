"""``icfqueue report``: how the visits of a project differ, as a page."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import format_option, project_argument, where_options
from icfqueue.cli.session import load_settings, session
from icfqueue.core.errors import NothingYet, UsageError

if TYPE_CHECKING:
    from icfqueue.core.settings import Settings
    from icfqueue.ledger.record import Record
    from icfqueue.reports.report import Report
    from icfqueue.store.directory import Store

STDOUT = Path("-")
"""What a command is told for its standard output."""


@click.command()
@project_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File to write, - for standard output.  [default: PROJECT_report.html, in this "
    "folder]",
)
@click.option(
    "--publish",
    is_flag=True,
    help="Put it into the catalog instead, which links to it.",
)
@click.option(
    "--like", metavar="VISIT", help="Compare with this visit, not with what is usual."
)
@format_option(
    "html",
    "csv",
    "json",
    more="csv and json go to standard output: the visits that differ, each with what.",
)
@where_options
def report(
    project: str,
    output: Path | None,
    like: str | None,
    form: str,
    *,
    publish: bool,
    **where: Any,
) -> int:
    """Write a report on PROJECT: what its visits have, and which differ.

    The usual pattern of series is found from the visits. Marked is what is missing,
    short, doubled, unexpected or in another order. The exit code is 1 if nothing is
    known of a visit's series.
    """
    if publish and (output or form != "html"):
        raise UsageError(
            "--publish puts a page into the catalog: leave out -o and --format"
        )
    if form != "html" and output not in {None, STDOUT}:
        raise UsageError(
            f"{form} goes to standard output: leave out -o",
            hint=f"`icfqueue report {project} --format {form} > "
            f"{shlex.quote(str(output))}`",
        )
    from icfqueue.core.visit import check_id
    from icfqueue.reports.report import as_json, csv_rows, make_report
    from icfqueue.store.directory import Store

    check_id(project, "project")
    settings = load_settings(where)
    store = Store.of(settings)
    store.check_is_there()
    records = _records(where, project) if form == "html" else []
    made = make_report(store, project, records, like)
    if form == "json":
        click.echo(json.dumps(as_json(made), indent=2))
    elif form == "csv":
        from icfqueue.cli.rows import print_csv
        from icfqueue.reports.report import CSV_FIELDS

        print_csv(CSV_FIELDS, csv_rows(made))
    elif publish:
        _publish(where, made)
    else:
        _write(settings, store, made, output or Path(f"{project}_report.html"))
    for visit, error in made.untold.items():
        click.secho(f"{visit.id}: {error.message}", fg="red", err=True)
        click.echo(f"  {error.hint}", err=True)
    return int(bool(made.untold))


def _records(where: dict[str, Any], project: str) -> list[Record]:
    """Return what the queue knows; nothing if there is none."""
    from icfqueue.ledger.record import Record
    from icfqueue.operations.status import found_of

    try:
        with session(where, asking=True) as opened:
            found = found_of(opened.ledger, project)
            return [one for one in found if isinstance(one, Record)]
    except NothingYet:
        return []


def _write(settings: Settings, store: Store, made: Report, target: Path) -> None:
    from icfqueue.reports.pages.page import page
    from icfqueue.reports.publishing import links_from, write

    known = None if target == STDOUT else target
    links = links_from(store, settings.store_url, made, known)
    text = page(made, links)
    if known is None:
        click.echo(text, nl=False)
    else:
        write(target, text)
        _tell(made, target)
    if not links.pages:
        _tell_why_unlinked(store, settings.store_url, made.project)


def _tell_why_unlinked(store: Store, store_url: str, project: str) -> None:
    from icfqueue.catalog.published_report import of_another_store

    if why := of_another_store(store, project, store_url):
        click.echo(f"nothing is linked: {why.message}", err=True)
        click.echo(f"  {why.hint}", err=True)


def _publish(where: dict[str, Any], made: Report) -> None:
    from icfqueue.pipeline.catalog_batch import publish_report
    from icfqueue.reports.pages.page import page
    from icfqueue.reports.publishing import links_within

    with session(where) as opened:
        settings, store = opened.settings, opened.store
        text = page(made, links_within(store, settings.store_url, made))
        target = publish_report(settings, store, opened.ledger, made.project, text)
    _tell(made, target)


def _tell(made: Report, target: Path) -> None:
    differ = f"{len(made.differing)} of {len(made.scans)} visits differ"
    click.echo(f"{made.project}: {differ}; the report is in {target}")
