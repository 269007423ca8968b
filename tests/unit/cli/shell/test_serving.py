"""A command that serves ends in order when it is told to, and not before."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

SERVING = """
import sys
from contextlib import contextmanager
from icfqueue.cli.shell.serving import until_told

@contextmanager
def server():
    try:
        yield "here"
    finally:
        print("closed")

sys.exit(until_told(server(), lambda place: f"it is {place}"))
"""


def state_of(pid: int) -> str:
    """Return how the kernel has a process: ``R`` if it runs, ``S`` if it sleeps."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_closes_what_it_opened(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", SERVING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "it is here (Ctrl-C ends it)\n"
            # It waits for a signal, and for nothing else.
            wait_until(lambda: state_of(process.pid) == "S", 60, "it waits")
            process.send_signal(number)
            assert process.communicate(timeout=60)[0] == "closed\n"
        finally:
            process.kill()
    assert process.returncode == 0


def test_a_server_that_cannot_start_says_why() -> None:
    broken = SERVING.replace('yield "here"', 'raise OSError("no such address")')
    done = subprocess.run(
        [sys.executable, "-c", broken], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == "closed\n"
    assert "no such address" in done.stderr
