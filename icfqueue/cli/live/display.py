"""Where the frames go: a terminal, in which they follow each other, or a log, in lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live

from icfqueue.cli.display.terminal import Line, cell, console
from icfqueue.cli.live.frame import amounts, counts, frame, next_try, rate
from icfqueue.cli.shell.again import whole
from icfqueue.cli.shell.colours import DUMB
from icfqueue.cli.shell.folding import say
from icfqueue.core.steps import NAMES
from icfqueue.overview.picture import Picture
from icfqueue.overview.standstill import Reason

FRAME_EVERY = 0.5
"""Seconds between two frames in a terminal."""

LOOK_EVERY = 4.0
"""Seconds between two looks where the output is no terminal: the estimate needs some."""

LINE_EVERY = 10.0
"""Seconds between the first lines there."""

LINE_SHARE = 0.02
"""Share of the time so far after which the next line comes, later on."""


class Display(Protocol):
    """Shows a project while it is worked on."""

    @property
    def every(self) -> float:
        """Seconds between two pictures that it has a use for."""

    def show(self, picture: Picture, reasons: Sequence[Reason]) -> None:
        """Show what happens now."""

    def say(self, words: str) -> None:
        """Say something that stays."""


@contextmanager
def shown() -> Iterator[Display]:
    """Yield what shows a project: in a terminal frames, elsewhere a line now and then."""
    if not sys.stdout.isatty() or os.environ.get("TERM") in DUMB:
        yield Lines()
        return
    where = console()
    with Live(console=where, auto_refresh=False, transient=True) as live:
        yield Frames(where, live)


class Frames:
    """Frames in a terminal.

    Parameters
    ----------
    below
        Returns what is shown below a frame, in so many lines; in its place when nothing
        is left to be done.
    """

    every = FRAME_EVERY

    def __init__(
        self,
        where: Console,
        live: Live,
        below: Callable[[Picture, int], RenderableType] | None = None,
    ) -> None:
        self._where = where
        self._live = live
        self._below = below

    def show(self, picture: Picture, reasons: Sequence[Reason]) -> None:
        """Show what happens now."""
        width, height = self._where.size
        parts: list[RenderableType] = []
        if self._below is None or not picture.drained:
            # Some lines of the terminal are for what stands below.
            mine = height if self._below is None else max(6, 2 * height // 3)
            parts += frame(picture, reasons, width, mine)
        if self._below is not None:
            parts.append(self._below(picture, height - len(parts) - 1))
        self._live.update(Group(*parts), refresh=True)

    def say(self, words: str) -> None:
        """Say something that stays, above the frames."""
        self._where.print(Line(cell(words)))


class Lines:
    """Lines in a log: the same facts, less and less often."""

    every = LOOK_EVERY

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._reasons: set[str] = set()
        self._last = ""

    def show(self, picture: Picture, reasons: Sequence[Reason]) -> None:
        """Print a line if the last one is long ago; a new reason at once."""
        now = time.monotonic()
        if picture.drained:
            return
        for reason in reasons:
            if reason.code not in self._reasons:
                remedy = f"; {whole(reason.remedy)}" if reason.remedy else ""
                if reason.code == "waiting" and picture.retry:
                    remedy += f"; next try: {next_try(picture.retry)}"
                self.say(f"{picture.project}: {reason.text}{remedy}")
        self._reasons = {reason.code for reason in reasons}
        if now - self._said > max(LINE_EVERY, LINE_SHARE * (now - self._began)):
            self._said = now
            self.say(line_of(picture, reasons))

    def say(self, words: str) -> None:
        """Print a line, unless it is the one that was printed last."""
        if words != self._last:
            self._last = words
            say(words)


def line_of(picture: Picture, reasons: Sequence[Reason] = ()) -> str:
    """Return a picture in one line, as for a log."""
    words = [", ".join(f"{number} {word}" for number, word, _ in counts(picture))]
    words.append(amounts(picture, reasons).replace("  ", ", "))
    steps = [
        f"{picture.at_work[name]} at {name}"
        + (f" ({rate(picture.rates[name])})" if name in picture.rates else "")
        for name in NAMES
        if picture.at_work.get(name)
    ]
    if steps:
        words.append(", ".join(steps))
    return f"{picture.project}: {picture.visits} visits: {'; '.join(words)}"
