"""Says that this worker's main loop goes round: :mod:`icfqueue.core.processes.pulse`.

Without the pipe's number, as under ``celery -A workers worker``, nobody feels it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from icfqueue.core.processes.pulse import PULSE_VARIABLE, STOPPING, WAITING, WORKING

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
