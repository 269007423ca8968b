"""A project as it is followed: looks at it, and hands on what is to be shown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NoReturn

import redis
from rich.console import Group, RenderableType
from rich.live import Live

from icfqueue.cli.display.causes import causes
from icfqueue.cli.display.project import ProjectView
from icfqueue.cli.display.terminal import console
from icfqueue.cli.live.display import Display, Frames
from icfqueue.cli.live.news import REASONS_EVERY, BrokerNews
from icfqueue.cli.session import Session
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import State
from icfqueue.overview.failures import CauseGroup, by_cause
from icfqueue.overview.observer import SPARING, Observer
from icfqueue.overview.picture import Picture
from icfqueue.overview.standstill import Reason, Standstill


class View:
    """One project, and why it stands still if it does.

    Parameters
    ----------
    processes
        Worker processes that there are; None if that is not known.
    sizes
        Bytes of tarballs that are to come, as far as that is known.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        project: str,
        processes: int | None = None,
        sizes: Mapping[Visit, int] = MappingProxyType({}),
    ) -> None:
        self._observer = Observer(ledger, project, processes, sizes)
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


def watch(opened: Session, project: str) -> NoReturn:
    """Show a project until Ctrl-C: what is at work, and why visits failed."""
    view = View(opened.ledger, opened.settings, project)
    broker = BrokerNews(opened)
    ended = ProjectView(opened.ledger, project)
    failures = _Failures(opened.ledger, project)

    def below(picture: Picture, room: int) -> RenderableType:
        return ended.shown(room=room) if picture.drained else failures.shown(picture)

    where = console()
    with Live(console=where, auto_refresh=False) as live:
        frames = Frames(where, live, below)
        while True:
            broker.news()
            view.show(frames, broker.told)
            time.sleep(frames.every)


class _Failures:
    """Why visits failed; they are only asked when their number changes."""

    def __init__(self, ledger: Ledger, project: str) -> None:
        self._ledger = ledger
        self._project = project
        self._counted = 0
        self._next = 0.0
        self._groups: list[CauseGroup] = []

    def shown(self, picture: Picture) -> RenderableType:
        """Return a line for each cause, and what helps."""
        count, began = picture.counts[State.FAILED], time.monotonic()
        if count != self._counted and began >= self._next:
            self._groups, self._counted = by_cause(self._ledger, self._project), count
            took = time.monotonic() - began
            self._next = began + max(REASONS_EVERY, SPARING * took)
        return Group(*causes(self._groups, self._project, messages=False))
