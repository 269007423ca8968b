"""The pulse of a Celery worker: whether its main loop goes round, as seen from outside.

Celery can stop without ending: its main process waits for a child that waits for it.
Whoever only looks whether the process is there sees it alive, for good. So ``icfqueue
worker`` gives it a pipe, whose number is in the environment, and its main loop writes a
byte into that every second (:mod:`workers.pulse`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

PULSE_VARIABLE = "ICFQUEUE_PULSE"
"""Number of the pipe."""

WORKING = b"."
WAITING = b"w"
"""The broker is away, or refuses."""
STOPPING = b"s"
"""It takes no more work; what runs may end within the grace period."""

SILENCE = 90.0
"""Seconds without a beat after which a worker is taken to hang. Its main loop waits for
the broker no longer than 20 s in one go, and then for the name server of the host."""

FIRST = 300.0
"""Seconds that it has for its first beat: imports from a slow network file system."""

GAP = 15.0
"""Seconds between two looks above which it was we who stood still, not the worker."""


class Pulse:
    """What is known of one worker's main loop, start after start.

    Attributes
    ----------
    state
        Its last word, one of those in this module; empty before the first.
    waited
        Whether it waited for the broker when it last said anything but that it stops.
    """

    def __init__(self) -> None:
        self.state = b""
        self.waited = False
        self._read: int | None = None
        now = time.monotonic()
        self._heard = self._since = self._felt = now

    @property
    def lasts(self) -> float:
        """For how many seconds its last word has been the same."""
        return time.monotonic() - self._since

    @contextmanager
    def pipe(self) -> Iterator[int]:
        """Yield the end of a new pipe that a worker is started with."""
        self.close()
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        self.state, self.waited = b"", False
        self._heard = self._since = self._felt = time.monotonic()
        try:
            yield write
        finally:
            os.close(write)

    def feel(self) -> None:
        """Take note of what the worker said since the last time."""
        now = time.monotonic()
        if now > self._felt + GAP:
            self._heard = max(self._heard, now)
        self._felt = now
        if self._read is None:
            return
        try:
            words = os.read(self._read, 1 << 16)
        except BlockingIOError:
            return
        if not words:
            return
        self._heard = now
        if going := words.replace(STOPPING, b""):
            self.waited = going[-1:] == WAITING
        # Whoever began to stop does not go back to work: what comes later is an echo.
        last = STOPPING if STOPPING in words or self.state == STOPPING else words[-1:]
        if last != self.state:
            self.state, self._since = last, now

    def is_gone(self, patience: float) -> bool:
        """Tell whether the worker hangs.

        Parameters
        ----------
        patience
            Seconds that it may take to stop.
        """
        if self.state == STOPPING:
            return self.lasts > patience
        silent = time.monotonic() - self._heard
        return silent > (SILENCE if self.state else FIRST)

    def close(self) -> None:
        """Let go of the pipe."""
        if self._read is not None:
            os.close(self._read)
            self._read = None
