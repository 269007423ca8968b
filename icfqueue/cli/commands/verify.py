"""``icfqueue verify``: prove that deposits give back what they promise."""

from __future__ import annotations

import json
from typing import Any

import click

from icfqueue.cli.options import (
    credential_option,
    format_option,
    visit_arguments,
    where_options,
)
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import whole
from icfqueue.core.plain_text import escaped


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
@format_option("text", "json")
@credential_option
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
    from icfqueue.operations.verify import Verification

    quiet = form == "json"
    with session(where) as opened:
        proof = Verification(
            opened.settings,
            opened.store,
            opened.ledger,
            project,
            None if audit_only else sample,
        )
        for line in proof.examine(visits):
            if not quiet:
                _tell(line)
        report = proof.report
        if quiet:
            click.echo(json.dumps(report, indent=2))
        else:
            for found in report["orphans"]:
                _tell_difference(found)
            count = sum(line["good"] for line in report["visits"])
            all_of_them = len(report["visits"])
            click.echo(f"{project}: {count} of {all_of_them} visits as they should be")
        return 3 if report["unreachable"] else int(not report["good"])


def _tell(line: dict[str, Any]) -> None:
    words = line["proof"] or (line["state"] or "no record")
    colour = "green" if line["good"] else "red"
    words = escaped(words) if line["good"] else "not as it should be"
    click.secho(f"{line['visit']}: {words}", fg=colour)
    for found in line["differences"]:
        _tell_difference(found)


def _tell_difference(found: dict[str, Any]) -> None:
    hint = f"\n    {whole(found['hint'])}" if found["hint"] else ""
    # Names of files and members are among it.
    click.echo(escaped(f"  {found['where']}: {found['what']}{hint}"))
