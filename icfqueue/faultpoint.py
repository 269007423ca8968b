"""Points at which a test may have this process die, to show what is left behind.

Without the environment variable this does nothing. It exists because a kill "right
after the rename of the refs file" cannot be hit from outside.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ICFQUEUE_TEST_FAULT"
"""``<moment> <end of the file's name>[@<marker file>]``: die at that moment. With a
marker file the fault strikes once: the file is created first."""


def reach(point: str) -> None:
    """Die by SIGKILL if `point` is the one that the environment names."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    place, _, marker = wanted.partition("@")
    moment, _, suffix = place.partition(" ")
    if not point.startswith(f"{moment} ") or not point.endswith(suffix):
        return
    if marker:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
