"""``run``: workers of its own, and a display that follows them."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import click
import redis
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.broker.refusals import is_refusal, refused_writes
from icfqueue.cli import tables
from icfqueue.cli.display.causes import print_causes
from icfqueue.cli.session import Session
from icfqueue.cli.shell.again import this_again
from icfqueue.core.errors import Unreachable
from icfqueue.core.plain_text import escaped
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary, stuck, summary
from icfqueue.operations.worker_process import WorkerProcess
from icfqueue.overview.failures import by_cause

PAUSE = 0.1
"""Seconds between two looks."""

REASONS_EVERY = 2.0
"""Seconds between two looks at why visits wait."""

STUCK_EVERY = 5.0
"""Seconds between two looks whether only visits are left that cannot go on."""

REASONS_FROM = 50
"""Visits that are asked for it."""

LINE_EVERY = 10.0
"""Seconds between two lines where the output is no terminal."""


@contextmanager
def workers_of(opened: Session, jobs: int) -> Iterator[WorkerProcess]:
    """Yield a worker of `jobs` processes, to be started; it is gone afterwards."""
    force = WorkerProcess(
        opened.settings,
        concurrency=jobs,
        broker=opened.broker,
        quiet=True,
        say=partial(click.echo, err=True),
    )
    try:
        yield force
    finally:
        force.kill()
        if force.process:
            # Killed when it has nothing left to do, it may not have taken its sign away.
            with suppress(redis.RedisError):
                opened.ledger.roster.gone(f"{socket.gethostname()}:{force.process.pid}")


def run_and_watch(opened: Session, project: str, force: WorkerProcess) -> int:
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
            f"To go on: {this_again('run', project)}",
            err=True,
        )
        return 130
    _stop(force, lambda: opened.ledger.running_count() == 0)
    return _report(opened, project)


def _stop(force: WorkerProcess, idle: Callable[[], bool] | None = None) -> None:
    try:
        force.stop(idle)
    except KeyboardInterrupt:
        force.kill()


def _follow(opened: Session, project: str, force: WorkerProcess) -> None:
    """Show progress until nothing is left to be done."""
    reasons = _Reasons(opened.ledger, project)
    broker = _BrokerNews(opened)
    with _shown(project) as (show_line, say):
        while True:
            line, running = _look(opened, project, force)
            show_line(line, running)
            if line.drained or reasons.stuck():
                return
            if words := broker.news() or reasons.news(line):
                say(words)
            time.sleep(PAUSE)


Running = list[int]
"""Bytes that each running step has dealt with."""


def _look(
    opened: Session, project: str, force: WorkerProcess
) -> tuple[ProjectSummary, Running]:
    """Return how far the project is; waits for a broker that is away."""
    ledger = opened.ledger
    while True:
        if opened.embedded and not _is_up(opened.embedded):
            time.sleep(1.0)
            continue
        force.look()
        if force.gave_up:
            raise Unreachable(
                "the worker processes do not stay up",
                hint=f"their log: {force.log_path}; then 'icfqueue run' again goes on",
            )
        try:
            line, running = summary(ledger, project), ledger.progress(project)
            return line, [amount for amount, _ in running.values()]
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(1.0)


def _is_up(embedded: EmbeddedServer) -> bool:
    """Bring the embedded broker back if it is gone; False while its disk is full."""
    try:
        embedded.ensure()
    except Unreachable:
        if not embedded.lacks_room:
            raise
        return False
    return True


T = TypeVar("T")


def when_accepted(opened: Session, do: Callable[[], T]) -> T:
    """Return what `do` returns, once the broker accepts what is written.

    Parameters
    ----------
    do
        May be done again.
    """
    broker = _BrokerNews(opened)
    while True:
        try:
            return do()
        except Exception as error:
            # redis-py's, or what Kombu made of it.
            if not is_refusal(error):
                raise
        if words := broker.news():
            click.echo(words, err=True)
        time.sleep(1.0)


class _BrokerNews:
    """What the broker refuses: told when that changes."""

    def __init__(self, opened: Session) -> None:
        self.opened = opened
        self.told = ""
        self.next = 0.0

    def news(self) -> str:
        """Return a line about the broker, if it is new."""
        if time.monotonic() < self.next:
            return ""
        self.next = time.monotonic() + REASONS_EVERY
        try:
            found = refused_writes(self.opened.client)
        except (redis.ConnectionError, redis.TimeoutError):
            return ""
        before, self.told = self.told, found.found if found else ""
        if self.told == before:
            return ""
        return f"waiting: the broker {self.told}" if found else "the broker accepts work"


class _Reasons:
    """Why visits wait: each reason is told once."""

    def __init__(self, ledger: Ledger, project: str) -> None:
        self.ledger = ledger
        self.project = project
        self.told: set[str] = set()
        self.next = 0.0
        self.next_stuck = time.monotonic() + STUCK_EVERY

    def stuck(self) -> bool:
        """Return whether only such visits are left whose records cannot be read."""
        if time.monotonic() < self.next_stuck:
            return False
        self.next_stuck = time.monotonic() + STUCK_EVERY
        try:
            return bool(stuck(self.ledger, self.project))
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def news(self, line: ProjectSummary) -> str:
        """Return a line about the latest error of the visits that wait, if it is new."""
        if not line.counts[State.WAITING] or time.monotonic() < self.next:
            return ""
        self.next = time.monotonic() + REASONS_EVERY
        try:
            waiting = self.ledger.visits(self.project, [State.WAITING])[:REASONS_FROM]
            entries = list(self.ledger.get_many(waiting))
        except (redis.ConnectionError, redis.TimeoutError):
            return ""
        known = [entry.record for entry in entries if isinstance(entry, Entry)]
        records = [record for record in known if record.error]
        if not records:
            return ""
        latest = max(records, key=lambda record: record.due or 0.0)
        message = (latest.error or {})["message"]
        # One reason may concern many visits, whose names it has.
        reason = message.replace(latest.visit.id, "")
        if reason in self.told:
            return ""
        self.told.add(reason)
        return f"waiting: {escaped(message)}"


Show = Callable[[ProjectSummary, Running], None]
Say = Callable[[str], None]


@contextmanager
def _shown(project: str) -> Iterator[tuple[Show, Say]]:
    """Yield what shows a line (a bar in a terminal, now and then elsewhere) and a word."""
    if not sys.stdout.isatty():
        yield _Lines().show, click.echo
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[found]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=tables.console(),
        refresh_per_second=5,
        expand=True,
    )
    task = bar.add_task(project, total=None, found="")
    furthest = 0

    def show_line(line: ProjectSummary, running: Running) -> None:
        nonlocal furthest
        amount = min(line.tar_bytes, line.read_bytes + sum(running))
        furthest = max(furthest, amount)
        bar.update(
            task,
            description=f"{project} {line.visits - line.active}/{line.visits} visits"
            + _troubled(line),
            found=f"{line.read_dicoms} DICOMs",
            total=line.tar_bytes or None,
            completed=furthest,
        )

    with bar:
        yield show_line, lambda words: bar.console.print(Text(words))


def _troubled(line: ProjectSummary) -> str:
    counts = ((line.counts[state], state) for state in (State.WAITING, State.FAILED))
    return "".join(f", {count} {state.value}" for count, state in counts if count)


class _Lines:
    """Prints a line now and then, where the output is no terminal."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def show(self, line: ProjectSummary, _: Running) -> None:
        if time.monotonic() - self.said > LINE_EVERY and not line.drained:
            self.said = time.monotonic()
            click.echo(tables.counts_line(line).plain)


def _report(opened: Session, project: str) -> int:
    """Print how it ended, and why what failed did; return the exit code."""
    line = summary(opened.ledger, project)
    tables.console().print(tables.counts_line(line))
    left = stuck(opened.ledger, project)
    among = opened.ledger.visits(project, [State.FAILED]) + [one.visit for one in left]
    groups = by_cause(opened.ledger, project, among=among)
    print_causes(tables.console(stderr=True), groups, project, run_again=True)
    return tables.exit_code(opened.ledger, project) or int(bool(left))
