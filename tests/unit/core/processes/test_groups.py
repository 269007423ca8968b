"""A program ends with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from support.waiting import wait_until

from icfqueue.core.processes import groups
from icfqueue.core.processes.groups import end_group, kill_group

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, in a group of its own."""
    made = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
    )
    yield made
    assert made.stdout
    made.stdout.close()
    made.kill()
    made.wait()


def child_of(leader: subprocess.Popen[bytes]) -> psutil.Process:
    assert leader.stdout
    return psutil.Process(int(leader.stdout.readline()))


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("end", [end_group, kill_group])
def test_a_program_ends_with_its_children(
    leader: subprocess.Popen[bytes], end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    child = child_of(leader)
    end(leader)
    assert leader.wait(20) == -signal.SIGKILL
    wait_until(lambda: gone(child), 20, "its child has ended, too")


def test_one_that_ended_is_only_reaped(leader: subprocess.Popen[bytes]) -> None:
    leader.kill()
    end_group(leader)
    assert leader.returncode == -signal.SIGKILL


def test_the_number_of_one_that_was_reaped_is_not_used_again(
    leader: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another group's by now."""
    leader.kill()
    leader.wait()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a stranger was killed"))
    kill_group(leader)
    end_group(leader)


def test_one_that_cannot_be_killed_is_left_behind(
    leader: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that hangs in the kernel, on a stale network file system."""
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    monkeypatch.setattr(groups, "REAPING", 0.05)
    end_group(leader)
    assert leader.poll() is None
