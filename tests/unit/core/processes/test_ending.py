"""SIGTERM and SIGHUP end a block as Ctrl-C does."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from icfqueue.core.processes import ending
from icfqueue.core.processes.ending import Ended, exit_code, signals_as_ctrl_c

CLOSED = """
import os, signal
from icfqueue.core.processes.ending import signals_as_ctrl_c
with signals_as_ctrl_c():
    os.write(1, b"first")
    try:
        signal.raise_signal(signal.SIGHUP)
    except KeyboardInterrupt:
        os.write(1, b"second")
"""


@pytest.fixture(autouse=True)
def by_default() -> Iterator[None]:
    """Let both signals be as they are when a command begins."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_block_as_ctrl_c_does(
    number: signal.Signals, code: int
) -> None:
    with pytest.raises(KeyboardInterrupt) as told, signals_as_ctrl_c():
        signal.raise_signal(number)
    assert exit_code(told.value) == code
    assert signal.getsignal(number) == signal.SIG_DFL


def test_ctrl_c_has_its_own_code() -> None:
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(None) == 130


def test_signals_that_come_together_are_one_and_a_later_one_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `timeout` sends them, and somebody who has lost patience."""
    now = [100.0]
    monkeypatch.setattr(ending.time, "monotonic", lambda: now[0])
    with signals_as_ctrl_c():
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        now[0] += 2 * ending.SAME
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)


def test_what_is_ignored_stays_so() -> None:
    """As `nohup` has it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals_as_ctrl_c():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_in_a_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def look() -> None:
        with signals_as_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_nothing_more_goes_to_a_terminal_that_was_closed() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", CLOSED],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert os.read(ours, 100) == b"first"
    os.close(ours)
    os.close(theirs)
