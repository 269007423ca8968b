"""Points at which a test may have this process die, to show what is left behind.

Without the environment variables this does nothing. It exists because a kill "right
after the rename of the refs file" cannot be hit from outside.

Points are ``ready <name>``, ``before <name>`` and ``after <name>`` of each file that is
published (before the lease is asked for, between that and the rename, after it),
``removing`` and ``removed`` of each that goes, and ``began`` and ``ended`` of each step.
"""

from __future__ import annotations

import os
import signal
import time

VARIABLE = "ICFQUEUE_TEST_FAULT"
"""``<moment> <end of the file's name>[@<marker file>]``: die at that moment. With a
marker file the fault strikes once: the file is created first. Several with semicolons."""

SIGNAL_VARIABLE = "ICFQUEUE_TEST_SIGNAL"
"""``STOP`` to fall asleep at that moment instead of dying; any signal's name."""

LOG_VARIABLE = "ICFQUEUE_TEST_LOG"
"""A file that gets a line for each point: time (``time.monotonic``), process, point."""


def reach(point: str) -> None:
    """Note `point`, and die by SIGKILL if it is the one that the environment names."""
    if log := os.environ.get(LOG_VARIABLE):
        _note(log, point)
    for wanted in os.environ.get(VARIABLE, "").split(";"):
        if wanted and _strikes(wanted, point):
            chosen = os.environ.get(SIGNAL_VARIABLE, "KILL")
            os.kill(os.getpid(), signal.Signals[f"SIG{chosen}"])


def _strikes(wanted: str, point: str) -> bool:
    place, _, marker = wanted.partition("@")
    moment, _, suffix = place.partition(" ")
    if not point.startswith(f"{moment} ") or not point.endswith(suffix):
        return False
    if marker:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
    return True


def _note(log: str, point: str) -> None:
    # One write to a file opened for appending is never mixed with another's.
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{time.monotonic():.6f} {os.getpid()} {point}\n".encode())
    finally:
        os.close(file)
