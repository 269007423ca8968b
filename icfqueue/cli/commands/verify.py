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
from icfqueue.cli.planning import counted
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import whole
from icfqueue.cli.shell.folding import say


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
    "--audit-only",
    is_flag=True,
    help="Compare what is here; ask no store, clone and get nothing.",
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
    compares their MD5. With --audit-only no store is asked. The exit code is 1 if
    anything differs or is not finished, 3 if the store could not be reached.
    """
    from icfqueue.operations.verify import Verification

    quiet = form == "json"
    with session(where, folder_of=project) as opened:
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
            say(f"{project}: {count} of {all_of_them} visits as they should be")
            if untold := sum(_is_unknown(line) for line in report["visits"]):
                say(f"{counted(untold, 'visit')}: the store could not be asked")
        return 3 if report["unreachable"] else int(not report["good"])


def _tell(line: dict[str, Any]) -> None:
    words = line["proof"] or (line["state"] or "no record")
    colour = "green" if line["good"] else "red"
    if _is_unknown(line):
        words, colour = "not known", "yellow"
    elif not line["good"]:
        words = "not as it should be"
    say(f"{line['visit']}: {words}", colour=colour)
    for found in line["differences"]:
        _tell_difference(found)


def _is_unknown(line: dict[str, Any]) -> bool:
    """Return whether nothing speaks against a visit but a store that does not answer."""
    found = line["differences"]
    return bool(found) and all(one.get("unreachable") for one in found)


def _tell_difference(found: dict[str, Any]) -> None:
    say(f"{found['where']}: {found['what']}", 2)
    if found["hint"]:
        say(whole(found["hint"]), 4)
