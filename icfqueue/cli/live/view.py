"""A project as it is followed: looks at it, and hands on what is to be shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import redis
from rich.console import RenderableType
from rich.live import Live

from icfqueue.cli import tables
from icfqueue.cli.live.display import Display, Frames
from icfqueue.cli.live.news import REASONS_EVERY, BrokerNews
from icfqueue.cli.session import Session
from icfqueue.core.settings import Settings
from icfqueue.ledger.ledger import Ledger
from icfqueue.overview.observer import Observer
from icfqueue.overview.standstill import Reason, Standstill


class View:
    """One project, and why it stands still if it does.

    Parameters
    ----------
    processes
        Worker processes that there are; None if that is not known.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        project: str,
        processes: int | None = None,
    ) -> None:
        self._observer = Observer(ledger, project, processes)
        self._standstill = Standstill(ledger, settings)
        self._reasons: list[Reason] = []
        self._next_reasons = 0.0

    def show(self, display: Display, refusal: str = "") -> None:
        """Show what happens now; nothing new while the broker is away.

        Parameters
        ----------
        refusal
            What the broker refuses, in words that follow "the broker".
        """
        with suppress(redis.ConnectionError, redis.TimeoutError):
            picture = self._observer.look()
            if time.monotonic() >= self._next_reasons:
                self._reasons = self._standstill.look(picture)
                self._next_reasons = time.monotonic() + REASONS_EVERY
            mine = [Reason("broker", f"the broker {refusal}")] if refusal else []
            display.show(picture, [*mine, *self._reasons])


def watch(opened: Session, project: str, below: Callable[[int], RenderableType]) -> None:
    """Show a project until Ctrl-C.

    Parameters
    ----------
    below
        Returns what is shown below it, in so many lines.
    """
    view = View(opened.ledger, opened.settings, project)
    broker = BrokerNews(opened)
    where = tables.console()
    with Live(console=where, auto_refresh=False) as live:
        frames = Frames(where, live, below)
        while True:
            broker.news()
            view.show(frames, broker.told)
            time.sleep(frames.every)
