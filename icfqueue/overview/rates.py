"""How fast bytes pass: of one step, and of all that are at work together."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from icfqueue.core.visit import Visit
from icfqueue.overview.pace import BYTEWISE

WINDOW = 10.0
"""Seconds over which a rate is the mean."""

TELLING = 1.5
"""Seconds after which bytes tell a rate; workers write them about once a second."""


class Speed:
    """How fast the running steps move, from the first look at which they did."""

    def __init__(self) -> None:
        self._first: dict[tuple[Visit, str], tuple[float, int]] = {}
        self._rates: dict[tuple[Visit, str], float] = {}

    def note(self, who: tuple[Visit, str], seconds: float, moved: int) -> float | None:
        """Note what a step has moved after so many seconds; return its rate so far."""
        since, before = self._first.get(who, (seconds, moved))
        if not before or seconds < since or moved < before:
            # Nothing moved yet, or another try.
            since, before = seconds, moved
            self._rates.pop(who, None)
        self._first[who] = since, before
        if seconds - since >= TELLING:
            self._rates[who] = (moved - before) / (seconds - since)
        return self._rates.get(who) or None

    def forget(self, who: tuple[Visit, str]) -> float | None:
        """Return the last rate of a step that is over."""
        self._first.pop(who, None)
        return self._rates.pop(who, None) or None


@dataclass
class Flow:
    """The bytes that passed a step, by the time in which anybody was at it.

    While all wait nothing passes; that tells nothing about how fast it goes.
    """

    passed: float = 0.0
    _seen: float = 0.0
    _busy: float = 0.0
    _at_work: bool = False
    _past: deque[tuple[float, float, float]] = field(default_factory=deque)

    def look(self, now: float, *, at_work: bool) -> None:
        """Note a moment (seconds), and whether anybody is at it."""
        if self._past:
            moved = self.passed > self._seen
            if at_work or self._at_work or moved:
                self._busy += now - self._past[-1][0]
        self._seen, self._at_work = self.passed, at_work
        self._past.append((now, self._busy, self.passed))
        while now - self._past[0][0] > WINDOW:
            self._past.popleft()

    @property
    def rate(self) -> float:
        """Return bytes a second; 0 if nobody was at it lately."""
        if not self._past:
            return 0.0
        (_, since, before), (_, busy, passed) = self._past[0], self._past[-1]
        return (passed - before) / (busy - since) if busy > since else 0.0


class Flows:
    """The bytes of all steps that deal with some."""

    def __init__(self) -> None:
        self._flows = {name: Flow() for name in BYTEWISE}
        self._credited: dict[tuple[Visit, str], int] = {}

    def moved(self, visit: Visit, step: str, moved: int) -> None:
        """Note what a running step has moved so far."""
        before = self._credited.get((visit, step), 0)
        self._flows[step].passed += max(0, moved - before)
        self._credited[visit, step] = moved

    def ended(self, visit: Visit, step: str, size: int) -> None:
        """Note that a step has moved all `size` bytes; what was noted before counts."""
        self._flows[step].passed += max(0, size - self._credited.pop((visit, step), 0))

    def look(self, now: float, at_work: Collection[str]) -> None:
        """Note a moment (seconds), and at which steps anybody is."""
        for name, flow in self._flows.items():
            flow.look(now, at_work=name in at_work)

    def rates(self) -> dict[str, float]:
        """Return bytes a second by step; without those at which nobody was lately."""
        found: Iterable[tuple[str, float]] = (
            (name, flow.rate) for name, flow in self._flows.items()
        )
        return {name: rate for name, rate in found if rate > 0}
