"""A terminal of a certain width, in which a command runs: what it is sent."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress

WAIT = 120
"""Seconds that a command has."""


def sent_to_a_terminal(
    words: Sequence[str], environment: Mapping[str, str], width: int = 80
) -> str:
    """Run a command whose three streams are a terminal; return all that it is sent.

    Parameters
    ----------
    environment
        The whole of it, but for the terminal's kind.
    width
        Columns that the terminal says it has.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {"TERM": "xterm-256color", **environment}
    # They would count more than what the terminal says.
    for name in ("COLUMNS", "LINES"):
        kept.pop(name, None)
    started = subprocess.Popen(
        list(words),
        env=kept,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    # EIO is how the last process that had it open is told of.
    with suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    started.wait(WAIT)
    return shown.decode().replace("\r\n", "\n")
