"""A small file system of a test's own, which can be filled and made read-only.

It is in a mount namespace of its own, so that the errors come from the kernel. That needs
root or user namespaces.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster

UNSHARE = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--map-root-user",)))
NSENTER = ("nsenter", "--mount", *(() if os.getuid() == 0 else ("--user",)))


def can_mount() -> bool:
    """Tell whether this machine lets us have a file system of our own."""
    with suppress(OSError):
        command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


class SmallDisk:
    """A tmpfs that only its own processes see, kept by a shell that takes commands."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.shell = subprocess.Popen(
            [*UNSHARE, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.do(f"mount -t tmpfs -o size={megabytes}m none {folder}")
        self.prefix = (*NSENTER, f"--target={self.shell.pid}", "--preserve-credentials")
        self.seen = Path(f"/proc/{self.shell.pid}/root{folder}")
        """The same folder, as processes outside see it."""

    def do(self, command: str) -> bool:
        """Run a command inside; return whether it succeeded."""
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f"{{ {command}; }} >/dev/null 2>&1; echo $?\n")
        self.shell.stdin.flush()
        return self.shell.stdout.readline() == "0\n"

    def close(self) -> None:
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.close()
        self.shell.wait(10)
        self.shell.stdout.close()


@contextmanager
def on_small_disk(
    folder: Path, web: FaultyStore
) -> Iterator[tuple[KillableCluster, SmallDisk]]:
    disk = SmallDisk(folder / "disk", 64)
    try:
        with KillableCluster(folder, web.url, {}, disk.seen, disk.prefix) as cluster:
            cluster.env["ICFQUEUE_STORE_DIR"] = str(disk.folder)
            yield cluster, disk
    finally:
        disk.close()
