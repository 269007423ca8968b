"""SIGTERM and SIGHUP as Ctrl-C: a command ends in order, whoever ends it.

Batch systems and ``timeout`` end a command by SIGTERM, a terminal that is closed by SIGHUP.
What a command has started is gone afterwards only if its blocks are left, as they are at
Ctrl-C; Python leaves none of them by itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME = 1.0
"""Seconds within which another signal is the first one: ``timeout`` sends it to the command
and to its process group, a closed terminal is told of by the kernel and by the shell."""


class Ended(KeyboardInterrupt):
    """The command was ended by a signal; what looks for Ctrl-C finds this, too.

    Parameters
    ----------
    number
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(error: BaseException | None) -> int:
    """Return the exit code after Ctrl-C, or the signal that `error` is: as shells do."""
    return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise :class:`Ended` for the length of a block.

    One that is ignored, as SIGHUP after ``nohup``, or is somebody's own stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler()
    taken = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


class _Handler:
    """Raises :class:`Ended`, once for signals that come together."""

    def __init__(self) -> None:
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        self._last: float | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGHUP:
            self._leave_terminal()
        if self._last is not None and now - self._last < SAME:
            return
        self._last = now
        raise Ended(number)

    def _leave_terminal(self) -> None:
        """Write no more to a terminal that is gone: each write would fail."""
        if not self._terminals:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)
        self._terminals = []
