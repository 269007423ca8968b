"""What is worth a message: a visit fails, a project drains or stands still.

Found by following the events and the counts of each project. Messages name project,
visits and causes, and no word of an error: that may name a file, hence a person.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from icfqueue.core.settings import Settings
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import ACTIVE, State
from icfqueue.overview.observer import Observer
from icfqueue.overview.standstill import Standstill

STALLED = 120.0
"""Seconds without an event and without a step at work after which a project stalls."""

FAILURES_EVERY = 10.0
"""Seconds between two messages about failures of one project: one tells of all since."""

NAMED = 20
"""Visits that a message names."""


def _command(*words: str) -> str:
    """Return a command of icfqueue, for who has set where store and broker are."""
    return shlex.join(["icfqueue", *words])


@dataclass
class _Project:
    """What is known of a project.

    Attributes
    ----------
    active
        Whether it had something to be done since it was last said to have drained.
    failed
        Visits that failed since that was last told, with their causes.
    """

    moved: float
    active: bool = False
    stalled: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    told: float = float("-inf")


class Watch:
    """Looks, again and again, for what is worth a message.

    Parameters
    ----------
    settings
        Which store may be the reason that nothing moves.
    project
        The only one that is looked at; None: all.
    stalled
        Seconds after which a project that does not move stalls.
    command
        Returns a command of icfqueue, of which it is given the words, for the store and
        broker that are looked at.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        project: str | None = None,
        stalled: float = STALLED,
        command: Callable[..., str] = _command,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._project = project
        self._stalled = stalled
        self._command = command
        self._last = ledger.events.now()
        now = time.monotonic()
        self._known = {
            name: _Project(now, active=_active(ledger.counts(name)) > 0)
            for name in self._names()
        }

    def _names(self) -> list[str]:
        return [self._project] if self._project else self._ledger.projects()

    def look(self, *, last: bool = False) -> list[dict[str, Any]]:
        """Return the messages about what happened since the last look.

        Parameters
        ----------
        last
            No look follows: nothing is kept back.

        Raises
        ------
        redis.RedisError
            The broker is away; what happens meanwhile the next look tells.
        """
        self._follow()
        return [one for name in self._names() for one in self._of(name, last=last)]

    def _follow(self) -> None:
        """Take note of the events since the last look."""
        now = time.monotonic()
        while found := self._ledger.events.after(self._last):
            for event in found:
                self._last = event.id
                known = self._known.setdefault(event.project, _Project(now))
                known.moved, known.stalled = now, False
                if event.state in ACTIVE or event.kind.startswith("step."):
                    known.active = True
                if event.kind == "step.failed":
                    known.failed[event.visit] = event.cause

    def _of(self, name: str, *, last: bool) -> Iterator[dict[str, Any]]:
        """Yield the messages about one project."""
        now = time.monotonic()
        known = self._known.setdefault(name, _Project(now))
        counts = self._ledger.counts(name)
        active = _active(counts)
        if known.failed and (last or not active or now >= known.told + FAILURES_EVERY):
            known.told = now
            yield self._failed(name, known.failed)
            known.failed = {}
        if active:
            known.active = True
            if counts[State.RUNNING]:
                known.moved, known.stalled = now, False
            elif not known.stalled and now >= known.moved + self._stalled:
                known.stalled = True
                yield self._standstill(name, counts)
        elif known.active:
            known.active = known.stalled = False
            yield _message("project.drained", name, counts=_counts(counts))

    def _standstill(self, name: str, counts: Mapping[State, int]) -> dict[str, Any]:
        """Return the message about a project that does not move."""
        picture = Observer(self._ledger, name).look()
        weightiest = Standstill(self._ledger, self._settings).reasons(picture)[0]
        return _message(
            "project.stalled",
            name,
            counts=_counts(counts),
            code=weightiest.code,
            reason=weightiest.plain or weightiest.text,
            see=self._command("status", name),
        )

    def _failed(self, name: str, failed: Mapping[str, str]) -> dict[str, Any]:
        return _message(
            "visit.failed",
            name,
            count=len(failed),
            causes=dict(Counter(cause or "unknown" for cause in failed.values())),
            visits=sorted(failed)[:NAMED],
            see=self._command("status", name, "--state", "failed"),
        )


def _message(event: str, project: str, **more: Any) -> dict[str, Any]:
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"event": event, "project": project, "t": when, **more}


def _active(counts: Mapping[State, int]) -> int:
    return sum(counts[state] for state in ACTIVE)


def _counts(counts: Mapping[State, int]) -> dict[str, int]:
    return {state.value: count for state, count in counts.items()}
