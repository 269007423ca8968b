"""``run``: workers of its own, and a display that follows them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import redis

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.broker.refusals import is_refusal
from icfqueue.cli import tables
from icfqueue.cli.display.causes import print_causes
from icfqueue.cli.live.asked import Asked
from icfqueue.cli.live.closing import Run, Worked, access_lines, amount_line
from icfqueue.cli.live.display import shown
from icfqueue.cli.live.news import BrokerNews, Reasons
from icfqueue.cli.live.view import View
from icfqueue.cli.session import Session
from icfqueue.cli.shell.again import ours
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import Unreachable
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary
from icfqueue.operations.worker_process import WorkerProcess

PAUSE = 0.1
"""Seconds between two looks."""

AWAY = 2.0
"""Seconds of a broker that does not answer after which that is said."""


@contextmanager
def workers_of(opened: Session, jobs: int) -> Iterator[WorkerProcess]:
    """Yield a worker of `jobs` processes, to be started; it is gone afterwards."""
    force = WorkerProcess(
        opened.settings,
        concurrency=jobs,
        broker=opened.broker,
        quiet=True,
        say=partial(say, err=True),
    )
    try:
        yield force
    finally:
        force.kill()
        if force.process:
            # Killed when it has nothing left to do, it may not have taken its sign away.
            with suppress(redis.RedisError):
                opened.ledger.roster.gone(f"{socket.gethostname()}:{force.process.pid}")


def run_and_watch(opened: Session, asked: Asked, force: WorkerProcess) -> int:
    """Work until nothing is left of what was asked for; return the exit code."""
    worked, before = Worked(), asked.summary()
    if before.drained:
        return _report(opened, asked, Run(before, before, worked))
    if force.process is None:
        force.start()
    try:
        _follow(opened, asked, force, worked)
    except KeyboardInterrupt:
        say("Stopping: what runs may finish … (Ctrl-C again: at once)", err=True)
        _stop(force)
        left = asked.end()
        say(
            f"Stopped with {left.counts[State.DONE]} of {left.visits} visits done.\n"
            f"To go on: {asked.again()}",
            err=True,
        )
        return 130
    worked.end()
    _stop(force, lambda: opened.ledger.running_count() == 0)
    return _report(opened, asked, Run(before, asked.end(), worked))


def _stop(force: WorkerProcess, idle: Callable[[], bool] | None = None) -> None:
    try:
        force.stop(idle)
    except KeyboardInterrupt:
        force.kill()


def _follow(opened: Session, asked: Asked, force: WorkerProcess, worked: Worked) -> None:
    """Show progress until nothing is left to be done."""
    reasons = Reasons(asked)
    broker = BrokerNews(opened)
    view = View(
        opened.ledger, opened.settings, asked.project, force.concurrency, asked.sizes
    )
    with shown() as display:
        next_picture = time.monotonic() + display.every
        while True:
            line = _look(opened, asked, force, display.say)
            worked.look(line)
            if line.drained or reasons.stuck():
                return
            if words := broker.news() or reasons.news(line):
                display.say(words)
            if time.monotonic() >= next_picture:
                view.show(display, broker.told)
                next_picture = time.monotonic() + display.every
            time.sleep(PAUSE)


def _look(
    opened: Session, asked: Asked, force: WorkerProcess, say: Callable[[str], None]
) -> ProjectSummary:
    """Return how far it is; waits for a broker that is away."""
    since, said = time.monotonic(), False
    while True:
        if opened.embedded and not _is_up(opened.embedded):
            time.sleep(1.0)
            continue
        force.look()
        if force.gave_up:
            raise Unreachable(
                "the worker processes do not stay up",
                hint=f"their log: {force.log_path}; then `{asked.again()}`",
            )
        try:
            line = asked.summary()
        except (redis.ConnectionError, redis.TimeoutError):
            if not said and time.monotonic() - since > AWAY:
                said = True
                say("waiting: the broker does not answer")
            time.sleep(1.0)
        else:
            if said:
                say("the broker answers")
            return line


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
    broker = BrokerNews(opened)
    while True:
        try:
            return do()
        except Exception as error:
            # redis-py's, or what Kombu made of it.
            if not is_refusal(error):
                raise
        if words := broker.news():
            say(words, err=True)
        time.sleep(1.0)


def _report(opened: Session, asked: Asked, run: Run) -> int:
    """Print how it ended, and why what failed did; return the exit code."""
    line = run.after
    tables.console().print(tables.counts_line(line))
    if words := amount_line(run):
        say(words, 2)
    groups = asked.failures()
    # What cannot be read is among them, and has not failed by its record.
    failed = bool(groups)
    print_causes(
        tables.console(stderr=True),
        groups,
        asked.project,
        names=asked.names if asked.others else (),
        again=asked.again(),
    )
    done = asked.in_state(State.DONE)
    for words in access_lines(opened.store, opened.settings, done):
        say(words, 2)
    if others := asked.left_over():
        some = "visit that was not named is" if others == 1 else "visits not named are"
        say(f"{others} {some} still to be done: `{ours('run', asked.project)}`", 2)
    return int(failed or line.counts[State.FAILED] > 0)
