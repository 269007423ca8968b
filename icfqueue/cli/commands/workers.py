"""``icfqueue workers``: which workers live, and what each does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import format_option, where_options
from icfqueue.cli.session import session
from icfqueue.core.errors import NothingYet

if TYPE_CHECKING:
    from rich.table import Table

    from icfqueue.ledger.roster import JobSign, Sign

NOBODY = "No worker is running: start 'icfqueue worker', or use 'icfqueue run PROJECT'."

WIDE = 100
"""Characters of a line from which on there is room for all columns."""


@click.command()
@format_option("table", "json")
@where_options
def workers(form: str, **where: Any) -> int:
    """Tell which workers live: where, since when, and what each is doing.

    A worker says every few seconds that it lives; after half a minute of silence it is
    no longer listed.
    """
    signs: list[Sign] = []
    now = 0.0
    try:
        with session(where, asking=True) as opened:
            signs = opened.ledger.roster.signs()
            now = opened.ledger.now()
    except NothingYet:
        # Where nothing was ever enqueued nobody works.
        pass
    if form == "json":
        _print_json(signs)
    elif signs:
        _print_table(signs, now)
    else:
        click.echo(NOBODY)
    return 0


def _print_json(signs: list[Sign]) -> None:
    """Print all that is known; times are ISO 8601 in UTC, sizes bytes."""
    from msgspec import to_builtins

    from icfqueue.operations.status import iso

    found = []
    for sign in signs:
        shown = to_builtins(sign)
        shown |= {name: iso(shown[name]) for name in ("since", "seen", "clock")}
        for job in shown["jobs"]:
            job["since"] = iso(job["since"])
        found.append(shown)
    click.echo(json.dumps(found, indent=2))


def _print_table(signs: list[Sign], now: float) -> None:
    from icfqueue.cli.tables import cell, console

    where = console()
    wide = where.width >= WIDE
    where.print(_table(signs, now, wide=wide))
    busy = sum(len(sign.jobs) for sign in signs)
    many = sum(sign.processes for sign in signs)
    hosts = len({sign.host for sign in signs})
    where.print(
        cell(
            f"{len(signs)} worker{'s' * (len(signs) != 1)} on {hosts} "
            f"host{'s' * (hosts != 1)}; {busy} of {many} processes busy"
        )
    )


def _table(signs: list[Sign], now: float, *, wide: bool) -> Table:
    """Return the table of workers, with what each process does below its worker."""
    from rich.table import Table

    from icfqueue.cli.tables import cell

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    # A name is never cut; what a process does goes to the next line if it must.
    table.add_column("worker", no_wrap=True)
    table.add_column("up", justify="right", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    if wide:
        table.add_column("queues")
        table.add_column("disk free", justify="right", no_wrap=True)
    table.add_column("doing", overflow="fold", ratio=1)
    for sign in signs:
        doing = [_doing(job, now) for job in sign.jobs]
        idle = sign.processes - len(doing)
        if idle > 0:
            doing.append(f"{idle} idle")
        more = [cell(", ".join(sign.queues)), cell(_free(sign))] if wide else []
        table.add_row(
            cell(sign.name),
            cell(_span(now - sign.since)),
            cell(f"{_span(now - sign.seen)} ago"),
            *more,
            cell("\n".join(doing)),
        )
    return table


def _doing(job: JobSign, now: float) -> str:
    from rich.filesize import decimal

    what = f"{job.project}/{job.visit}" if job.visit else job.project
    done = f", {decimal(job.bytes)}" if job.bytes else ""
    return f"{what} {job.step} {_span(now - job.since)}{done}"


def _free(sign: Sign) -> str:
    from rich.filesize import decimal

    return "?" if sign.disk_free is None else decimal(sign.disk_free)


def _span(seconds: float) -> str:
    """Return a time as a person says it: one or two units."""
    whole = max(0, round(seconds))
    for unit, size, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return (
                f"{whole // size} {unit} {rest} {smaller}"
                if rest
                else f"{whole // size} {unit}"
            )
    return f"{whole} s"
