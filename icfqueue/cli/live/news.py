"""What is told once while a project is worked on: why visits wait, what the broker does."""

from __future__ import annotations

import time

import redis

from icfqueue.broker.refusals import refused_writes
from icfqueue.cli.live.asked import Asked
from icfqueue.cli.session import Session
from icfqueue.core.plain_text import escaped
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary

REASONS_EVERY = 2.0
"""Seconds between two looks at why visits wait."""

STUCK_EVERY = 5.0
"""Seconds between two looks whether only visits are left that cannot go on."""

REASONS_FROM = 50
"""Visits that are asked for it."""


class BrokerNews:
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


class Reasons:
    """Why visits wait: each reason is told once.

    Parameters
    ----------
    asked
        The visits that count.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.told: set[str] = set()
        self.next = 0.0
        self.next_stuck = time.monotonic() + STUCK_EVERY

    def stuck(self) -> bool:
        """Return whether only such visits are left whose records cannot be read."""
        if time.monotonic() < self.next_stuck:
            return False
        self.next_stuck = time.monotonic() + STUCK_EVERY
        try:
            return bool(self.asked.stuck())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def news(self, line: ProjectSummary) -> str:
        """Return a line about the latest error of the visits that wait, if it is new."""
        if not line.counts[State.WAITING] or time.monotonic() < self.next:
            return ""
        self.next = time.monotonic() + REASONS_EVERY
        try:
            waiting = self.asked.in_state(State.WAITING)[:REASONS_FROM]
            entries = list(self.asked.ledger.get_many(waiting))
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
