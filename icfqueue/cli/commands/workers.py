"""``icfqueue workers``: which workers live, and what each does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.display.amounts import amount
from icfqueue.cli.display.fitting import Column
from icfqueue.cli.options import format_option, where_options
from icfqueue.cli.planning import counted
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import nobody_works
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import NothingYet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icfqueue.ledger.ledger import Ledger
    from icfqueue.ledger.roster import JobSign, Sign

COLUMNS = (
    Column("worker"),
    Column("up", 60, right=True),
    Column("seen", 70, right=True),
    Column("queues", 40),
    Column("disk free", 50, right=True),
    Column("doing", prose=True),
)


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
    waits: str | None = None
    try:
        with session(where, asking=True) as opened:
            signs = opened.ledger.roster.signs()
            now = opened.ledger.now()
            waits = None if signs else _waits(opened.ledger)
    except NothingYet:
        # Where nothing was ever enqueued nobody works.
        pass
    if form == "json":
        _print_json(signs)
    elif signs:
        _print_table(signs, now)
    else:
        say(nobody_works(waits))
    return 0


def _waits(ledger: Ledger) -> str | None:
    """Return a project that has something to be done."""
    from icfqueue.operations.status import summary

    names = ledger.projects()
    return next((name for name in names if not summary(ledger, name).drained), None)


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
    from icfqueue.cli.rows import print_table

    print_table(COLUMNS, [row for sign in signs for row in _rows(sign, now)])
    busy = sum(len(sign.jobs) for sign in signs)
    many = sum(sign.processes for sign in signs)
    hosts = len({sign.host for sign in signs})
    say(
        f"{counted(len(signs), 'worker')} on {counted(hosts, 'host')}; "
        f"{busy} of {many} processes busy"
    )


def _rows(sign: Sign, now: float) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a worker: each thing that it does has its own."""
    doing = [_doing(job, now) for job in sign.jobs]
    idle = sign.processes - len(doing)
    if idle > 0 or not doing:
        doing.append(f"{idle} idle")
    queues = ", ".join(sign.queues)
    seen = f"{_span(now - sign.seen)} ago"
    free = "?" if sign.disk_free is None else amount(sign.disk_free)
    yield sign.name, _span(now - sign.since), seen, queues, free, doing[0]
    for words in doing[1:]:
        yield "", "", "", "", "", words


def _doing(job: JobSign, now: float) -> str:
    what = f"{job.project}/{job.visit}" if job.visit else job.project
    done = f", {amount(job.bytes)}" if job.bytes else ""
    return f"{what} {job.step} {_span(now - job.since)}{done}"


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
