"""The pulse of a worker's main process, felt by ``icfqueue worker`` through a pipe.

Celery can stop without ending: its main process waits for a child that waits for it.
Whoever only looks whether the process is there sees it alive, for good. So its main loop
says every second that it goes round, and how it fares.

The pipe's number is in the environment; without it, as under ``celery -A workers worker``,
nobody feels the pulse.
"""

from __future__ import annotations

import os
from contextlib import suppress

from icfqueue.core.pulse import PULSE_VARIABLE, STOPPING, WAITING, WORKING

__all__ = ["EVERY", "STOPPING", "WAITING", "WORKING", "beat"]

EVERY = 1.0
"""Seconds between two beats."""

_pipe = int(os.environ.get(PULSE_VARIABLE, "-1"))


def beat(state: bytes = WORKING) -> None:
    """Say that this process lives; never waits."""
    if _pipe >= 0:
        # A full pipe: nobody listens just now, or has not for long.
        with suppress(OSError):
            os.write(_pipe, state)
