"""Guards for tests: they count, take the work away, meddle, remember what runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from icfqueue.core.errors import Cancelled, LeaseLost
from icfqueue.core.guard import Guard


class CountingGuard(Guard):
    """Remembers what it was told.

    Attributes
    ----------
    calls
        How often progress was reported.
    bytes, dicoms
        How much of it.
    asked
        Names of the files for which publication was asked for.
    """

    def __init__(self) -> None:
        self.calls = self.bytes = self.dicoms = 0
        self.asked: list[str] = []

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        self.calls += 1
        self.bytes += bytes
        self.dicoms += dicoms

    def before_change(self, name: str) -> None:
        self.asked.append(name)


class LosingGuard(CountingGuard):
    """Allows so many publications; then the visit is another worker's."""

    def __init__(self, allowed: int = 0) -> None:
        super().__init__()
        self.allowed = allowed

    def before_change(self, name: str) -> None:
        super().before_change(name)
        if len(self.asked) > self.allowed:
            raise LeaseLost(f"{name} is not published")


class MeddlingGuard(Guard):
    """Lets something happen to the work meanwhile.

    Parameters
    ----------
    happens
        What; it may raise.
    before
        Right before this file is changed; without it, whenever progress is reported.
    """

    def __init__(self, happens: Callable[[], object], before: str = "") -> None:
        self.happens = happens
        self.before = before

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:  # noqa: ARG002 - the interface
        if not self.before:
            self.happens()

    def before_change(self, name: str) -> None:
        if name == self.before:
            self.happens()


class MindingGuard(Guard):
    """Remembers what runs, and calls the work off after some safe points.

    Attributes
    ----------
    running
        Programs that are minded now.
    seen
        Process ids of all that were.
    """

    def __init__(self, until: int = 1 << 30) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        self.seen: list[int] = []
        self.until = until

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:  # noqa: ARG002 - the interface
        self.until -= 1
        if self.until < 0:
            raise Cancelled("called off")

    @contextmanager
    def minding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        self.running.append(process)
        self.seen.append(process.pid)
        try:
            with super().minding(process):
                yield
        finally:
            self.running.remove(process)
