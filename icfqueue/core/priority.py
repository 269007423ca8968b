"""How urgent a visit is, and to which level of its queue its message goes.

A priority is what somebody asked for: 0 to 4, the most urgent. A level is where a message
waits: 0 is served first. Celery calls levels priorities.
"""

from __future__ import annotations

from typing import Final

MAX_PRIORITY: Final = 4
"""The most urgent; a visit has 0 unless more was asked for."""

LEVELS: Final = range(2 * (MAX_PRIORITY + 1))
"""Levels of a queue; 0 is served first."""


def level_of(priority: int, *, begun: bool) -> int:
    """Return the level of a visit's message.

    Visits that have begun take the first half of the levels and so come before all
    others, so that a project finishes visit by visit; within both halves, those of a
    higher priority come first.
    """
    return MAX_PRIORITY - priority + (0 if begun else MAX_PRIORITY + 1)
