"""``run``: workers of its own, and a display that follows them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from icfqueue.cli import show
from icfqueue.cli.common import Session
from icfqueue.errors import Unreachable
from icfqueue.record import State
from icfqueue.status import Summary, summary
from icfqueue.workforce import Workforce

PAUSE = 0.2
"""Seconds between two looks."""

LINE_EVERY = 10.0
"""Seconds between two lines where the output is no terminal."""


@contextmanager
def workers_of(opened: Session, jobs: int) -> Iterator[Workforce]:
    """Yield a worker of `jobs` processes, to be started; it is gone afterwards."""
    force = Workforce(opened.settings, concurrency=jobs, broker=opened.broker, quiet=True)
    try:
        yield force
    finally:
        force.kill()


def run_and_watch(opened: Session, project: str, force: Workforce) -> int:
    """Work until the project is drained; return the exit code."""
    if summary(opened.ledger, project).drained:
        return _report(opened, project)
    if force.process is None:
        force.start()
    try:
        _follow(opened, project, force)
    except KeyboardInterrupt:
        click.echo("Stopping: what runs may finish … (Ctrl-C again: at once)", err=True)
        _stop(force)
        left = summary(opened.ledger, project)
        click.echo(
            f"Stopped with {left.counts[State.DONE]} of {left.visits} visits done. "
            f"To go on: icfqueue run {project}",
            err=True,
        )
        return 130
    _stop(force, lambda: opened.ledger.running_count() == 0)
    return _report(opened, project)


def _stop(force: Workforce, idle: Callable[[], bool] | None = None) -> None:
    try:
        force.stop(idle)
    except KeyboardInterrupt:
        force.kill()


def _follow(opened: Session, project: str, force: Workforce) -> None:
    """Show progress until nothing is left to be done."""
    if sys.stdout.isatty():
        _follow_live(opened, project, force)
        return
    said = time.monotonic()
    while not (line := summary(opened.ledger, project)).drained:
        _look_after(opened, force)
        if time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            click.echo(show.counts_line(line).plain)
        time.sleep(PAUSE)


def _look_after(opened: Session, force: Workforce) -> None:
    if opened.embedded:
        opened.embedded.ensure()
    force.look()
    if force.gave_up:
        raise Unreachable(
            "the worker processes do not stay up",
            hint=f"their log: {force.log_path}; then 'icfqueue run' again goes on",
        )


def _follow_live(opened: Session, project: str, force: Workforce) -> None:
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[found]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=show.console(),
        refresh_per_second=5,
        expand=True,
    )
    shown = bar.add_task(project, total=None, found="")
    furthest = 0
    with bar:
        while not (line := summary(opened.ledger, project)).drained:
            _look_after(opened, force)
            furthest = max(furthest, _bytes_done(opened, line))
            bar.update(
                shown,
                description=f"{project} {line.visits - line.active}/{line.visits} visits",
                found=f"{_dicoms_done(opened, line)} DICOMs",
                total=line.tar_bytes or None,
                completed=furthest,
            )
            time.sleep(PAUSE)
        bar.update(shown, total=line.tar_bytes, completed=line.tar_bytes)


def _bytes_done(opened: Session, line: Summary) -> int:
    running = opened.ledger.progress(line.project).values()
    return min(line.tar_bytes, line.done_bytes + sum(amount for amount, _ in running))


def _dicoms_done(opened: Session, line: Summary) -> int:
    running = opened.ledger.progress(line.project).values()
    return line.done_dicoms + sum(dicoms for _, dicoms in running)


def _report(opened: Session, project: str) -> int:
    """Print how it ended, and why what failed did; return the exit code."""
    line = summary(opened.ledger, project)
    show.console().print(show.counts_line(line))
    failed = opened.ledger.records(project, [State.FAILED])
    said: dict[str, list[str]] = {}
    for record in failed:
        error = record.error or {}
        said.setdefault(f"{error['message']}\n    {error['hint']}", []).append(
            record.visit.id
        )
    for message, visits in said.items():
        names = ", ".join(visits[:3]) + (
            f" and {len(visits) - 3} more" if visits[3:] else ""
        )
        click.secho(f"  {names}: {message}", fg="red", err=True)
    if failed:
        click.echo(f"  Then: icfqueue retry {project} && icfqueue run {project}", err=True)
    return show.exit_code(opened.ledger, project)
