"""Commands that check and repair: ``verify``, ``catalog``, ``doctor``, ``demo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from icfqueue.cli.session import load_settings, session, visit_arguments, where_options


@click.command()
@visit_arguments
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Images to get from each visit and to compare.",
)
@click.option(
    "--audit-only", is_flag=True, help="Compare what is recorded; clone and get nothing."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
)
@click.option("--credential", metavar="NAME", help="DataLad credential for the store.")
@where_options
def verify(
    project: str,
    visits: tuple[str, ...],
    sample: int,
    *,
    audit_only: bool,
    form: str,
    **where: Any,
) -> int:
    """Prove that deposits give back what they promise.

    Compares record, tarball (here and at the store), metadata, dataset and catalog of
    each visit; then clones its deposit with DataLad, checks the annex, gets images and
    compares their MD5. The exit code is 1 if anything differs or is not finished, 3 if
    the store could not be reached.
    """
    from icfqueue.operations import verify

    with session(where) as opened:
        report = verify.examine(
            opened, project, visits, None if audit_only else sample, quiet=form == "json"
        )
        if form == "json":
            click.echo(json.dumps(report, indent=2))
        return 3 if report["unreachable"] else int(not report["good"])


@click.command()
@click.argument("project")
@where_options
def reconcile(project: str, **where: Any) -> int:
    """Make lost records of PROJECT anew from what lies in the store.

    For a broker whose data are gone. Complete visits are done again; 'icfqueue enqueue'
    goes on with the rest.
    """
    from icfqueue.operations import reconcile as records

    with session(where) as opened:
        found = records.reconcile(opened.settings, opened.store, opened.ledger, project)
        for visit, why in found.left.items():
            click.echo(f"{visit.id}: {why}")
        click.echo(
            f"{project}: {len(found.restored)} records made anew, "
            f"{len(found.known)} were there, {len(found.left)} visits not complete"
        )
        if found.left:
            click.echo(f"To go on with these: icfqueue enqueue {project}")
    return 0


@click.command()
@click.argument("project")
@where_options
def catalog(project: str, **where: Any) -> int:
    """Build the catalog of PROJECT anew from the metadata files."""
    from icfqueue.catalog import study as pages
    from icfqueue.core.errors import StepError, Unreachable
    from icfqueue.core.visit import check_id
    from icfqueue.pipeline.heartbeat import Heartbeat

    check_id(project, "project")
    name = f"catalog:{project}"
    with session(where) as opened:
        store, chosen, ledger = opened.store, opened.settings, opened.ledger
        with ledger.locked(name, chosen.lease, wait=2 * chosen.lease) as token:
            if token is None:
                raise Unreachable(
                    f"the catalog of {project} is being written by a worker",
                    hint="try again in a minute",
                )
            lock = (name, token)
            with Heartbeat(
                ledger, ledger, {}, lease=chosen.lease, stall=600.0, lock=lock
            ) as watch:
                results = pages.rebuild(store, project, chosen.store_url, chosen, watch)
        bad = {v: r for v, r in results.items() if isinstance(r, StepError)}
        for visit, error in bad.items():
            click.secho(f"{visit.id}: {error.message}", fg="red", err=True)
            click.echo(f"  {error.hint}", err=True)
        where_is = store.catalog_dir(project) / "index.html"
        click.echo(f"{project}: {len(results) - len(bad)} visits in {where_is}")
    return int(bool(bad))


@click.command()
@click.option("--credential", metavar="NAME", help="DataLad credential for the store.")
@click.option("--project", help="Also try to list this project at the store URL.")
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


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("demo-store"),
    show_default=True,
    help="Where the demonstration is built.",
)
@click.option("--visits", type=click.IntRange(1, 50), default=4, show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True)
def demo(folder: Path, visits: int, jobs: int) -> int:
    """Show the whole way on a small project, with a store of its own."""
    from icfqueue.demo.tour import tour

    return tour(folder, visits, jobs)
