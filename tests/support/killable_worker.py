"""A command with all processes below it, which can be killed or frozen as one.

A node that dies takes everything with it: the processes are found by a mark in their
environment, which git and git-annex inherit.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

MARK = "MARK_OF_TEST"
"""Variable in the environment of a worker's processes by which they are found."""


@dataclass
class KillableWorker:
    """A command that was started, and everything below it."""

    process: subprocess.Popen[bytes]
    mark: str
    log: Path
    frozen: list[int] = field(default_factory=list)

    @classmethod
    def start(cls, words: Sequence[str], env: Mapping[str, str], log: Path) -> Self:
        """Start a command in a session of its own; its output goes to `log`."""
        mark = secrets.token_hex(8)
        with log.open("wb") as out:
            process = subprocess.Popen(
                words,
                env={**env, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return cls(process, mark, log)

    def pids(self) -> list[int]:
        """Return all its processes."""
        return marked(self.mark)

    def kill(self) -> list[int]:
        """Kill all its processes with SIGKILL; return which they were."""
        killed = []
        while pids := [pid for pid in self.pids() if is_alive(pid)]:
            _send(signal.SIGKILL, pids)
            killed += pids
        self.process.wait()
        return killed

    def freeze(self) -> None:
        """Stop all its processes, as a node that hangs."""
        self.frozen = self.pids()
        _send(signal.SIGSTOP, self.frozen)

    def thaw(self) -> None:
        """Let all its processes go on that were frozen."""
        _send(signal.SIGCONT, self.frozen)
        self.frozen = []


def _send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def marked(mark: str) -> list[int]:
    """Return the processes that were started with `mark` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process is there that has not ended (proc_pid_stat(5))."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
