"""A file system that only some processes see, in a mount namespace of its own.

That needs root or user namespaces (:func:`can_mount`). A shell keeps the namespace and
takes commands; it ends with the test, and so does what was mounted.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.needs import allowed

ROOT = os.getuid() == 0
UNSHARE = ("unshare", "--mount", *(() if ROOT else ("--map-root-user",)))
NSENTER = ("nsenter", "--mount", *(() if ROOT else ("--user",)))


def can_mount() -> bool:
    """Tell whether this machine lets us have a file system of our own."""
    with suppress(OSError):
        command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


class PrivateMount:
    """A folder on a file system that only its own processes see; a context manager.

    Parameters
    ----------
    folder
        Where it is mounted; made.
    command
        What mounts it, with ``{folder}`` in the place of the folder.

    Attributes
    ----------
    prefix
        What a command is started with to see it.
    seen
        The same folder, as processes outside see it.
    """

    def __init__(self, folder: Path, command: str) -> None:
        allowed(can_mount(), "file system of its own (root, or user namespaces)")
        folder.mkdir()
        self.folder = folder
        self.shell = subprocess.Popen(
            [*UNSHARE, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.good = self.do(command.format(folder=folder))
        self.prefix = (*NSENTER, f"--target={self.shell.pid}", "--preserve-credentials")
        self.seen = Path(f"/proc/{self.shell.pid}/root{folder}")

    def __enter__(self) -> Self:
        assert self.good
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
