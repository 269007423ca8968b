"""End a program with all that it started: every program leads a process group."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and every process of its group, and reap it.

    One that hangs in the kernel, as on a stale network file system, cannot be killed
    and is left behind.
    """
    import subprocess

    kill_group(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAPING)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and every process of its group; does not wait."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


REAPING = 5.0
"""Seconds that a killed process may take to end."""
