"""Two hosts with a wire between them, on one machine: by network namespaces.

Each host is the kernel's own network stack, seen by the processes that are started in it;
files and processes are those of the machine. Needs root, or user namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from support.needs import allowed, program
from support.waiting import wait_until

IS_ROOT = os.getuid() == 0
WORKERS = "10.77.0.2"
BROKER = "10.77.0.1"
"""Addresses of the two hosts."""


def can_have_hosts() -> bool:
    """Tell whether this machine lets us have network namespaces."""
    with suppress(OSError):
        command = [*_unshare(), "ip", "link", "add", "wire0", "type", "veth"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def _unshare() -> list[str]:
    return ["unshare", "--net", *([] if IS_ROOT else ["--map-root-user"])]


class TwoHosts:
    """Hosts for workers and for the broker; used as a context manager."""

    def __enter__(self) -> Self:
        program("ip", "iproute2")
        allowed(can_have_hosts(), "network namespaces (root, or user namespaces)")
        self._opened = ExitStack()
        try:
            self._wire_host = self._keeper(_unshare())
            inside = [*self._enter(self._wire_host), "unshare", "--net"]
            self._broker = self._keeper(inside)
            self._workers = self._keeper(inside)
            self._lay("wire0", self._workers, WORKERS)
            self._lay("wire1", self._broker, BROKER)
            wire = Path(__file__).with_name("wire.py")
            self._wire = self.start(
                self._enter(self._wire_host), [sys.executable, str(wire), "wire0", "wire1"]
            )
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def for_workers(self) -> tuple[str, ...]:
        """What a command is started with on the workers' host."""
        return tuple(self._enter(self._workers))

    @property
    def for_broker(self) -> tuple[str, ...]:
        """What a command is started with on the broker's host."""
        return tuple(self._enter(self._broker))

    def wire(self, **wanted: Any) -> None:
        """Tell the wire how to be; without anything it is a good one."""
        assert self._wire.stdin
        assert self._wire.stdout
        self._wire.stdin.write(json.dumps(wanted) + "\n")
        self._wire.stdin.flush()
        assert self._wire.stdout.readline(), "the wire is broken"

    def start(
        self, prefix: Sequence[str], words: Sequence[str], **more: Any
    ) -> subprocess.Popen[str]:
        """Start a process that ends with the hosts; it has pipes to stdin and stdout."""
        process = subprocess.Popen(
            [*prefix, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **more,
        )
        self._opened.callback(_end, process)
        return process

    def _keeper(self, prefix: list[str]) -> int:
        """Return the process id of a shell that keeps a new namespace."""
        process = self.start(prefix, ["sh", "-c", "echo $$; exec cat"])
        assert process.stdout
        word = process.stdout.readline()
        assert word, "no namespace"
        return _outside(process.pid, int(word))

    def _enter(self, keeper: int) -> list[str]:
        user = [] if IS_ROOT else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={keeper}", "--net", *user]

    def _lay(self, name: str, keeper: int, address: str) -> None:
        """Lay a cable from the wire's host, where it is called `name`."""
        self._run(self._wire_host, f"ip link add {name} type veth peer name host0")
        self._run(self._wire_host, f"ip link set host0 netns {keeper}")
        self._run(self._wire_host, f"ip link set {name} up")
        for words in (
            "ip link set lo up",
            f"ip address add {address}/24 dev host0",
            "ip link set host0 up",
        ):
            self._run(keeper, words)

    def _run(self, keeper: int, words: str) -> None:
        subprocess.run([*self._enter(keeper), *words.split()], check=True)


def _outside(started: int, own: int) -> int:
    """Return a keeper's process id as seen from here; no namespace of ids is made."""
    wait_until(lambda: Path(f"/proc/{own}/ns/net").exists(), 20, "the keeper is there", str)
    assert own == started or Path(f"/proc/{own}").exists()
    return own


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
