"""The one module that runs git and git-annex.

Every program runs in its own process group, minded by the step's guard, with none of
the user's, the host's or the caller's git configuration, so that what it writes depends
on its input alone. A failure carries the end of the program's stderr. Programs are
looked for beside the running Python first: a worker started by its absolute path has a
``PATH`` without the environment's programs.

Sources: ``git help fast-import``, ``git help read-tree``, the environment variables in
``git help git``; https://git-annex.branchable.com/git-annex-examinekey/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

from icfqueue.core.errors import DiskTrouble, PermanentError, ToolFailed
from icfqueue.core.guard import Guard
from icfqueue.core.processes.groups import end_group, without_secrets
from icfqueue.store.disk import of_last_words

TAIL = 2048
"""Bytes of a program's stderr that an error keeps: its end, where the reason stands."""


MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""Settings of the GNU C library (mallopt(3)); others ignore them. `git fast-import`
compresses each object with buffers of its own, of 256 kB: by default these are asked of
the kernel and given back each time, which took two thirds of the time of small visits."""


NOTHING_ELSE = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
"""No hook of a repository is run and nothing is fetched, whatever its ``config`` says."""


def environment(*, in_repository: bool = False) -> dict[str, str]:
    """Return the environment in which git and git-annex run.

    Parameters
    ----------
    in_repository
        Their working directory is the only repository that they may use. So it is named
        by no path, which could lead elsewhere by the time it is used.
    """
    env = without_secrets(os.environ)
    env = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    env.update(
        PATH=search_path(),
        LC_ALL="C.UTF-8",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_SYSTEM=os.devnull,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_ATTR_NOSYSTEM="1",
        GIT_TERMINAL_PROMPT="0",
    )
    env.update(MALLOC)
    env.update(NOTHING_ELSE)
    if in_repository:
        env["GIT_DIR"] = "."
    return env


@lru_cache(maxsize=1)
def _our_programs() -> str:
    return sysconfig.get_path("scripts")


def search_path() -> str:
    """Return ``PATH`` with the folder of this Python's programs first."""
    folders = [_our_programs(), os.environ.get("PATH", os.defpath)]
    return os.pathsep.join(folders)


def find_program(name: str) -> str:
    """Return the path of `name`, ``"git"`` or ``"git-annex"``.

    Raises
    ------
    PermanentError
        It is not installed.
    """
    found = shutil.which(name, path=search_path())
    if found is None:
        raise _missing(name)
    return found


def run(args: list[str], *, repo: Path, guard: Guard, stdin: bytes = b"") -> bytes:
    """Run a program to its end and return its stdout.

    Parameters
    ----------
    args
        ``["git", …]`` or ``["git-annex", …]``.
    repo
        The bare repository that it works on, also its working directory.
    stdin
        What it reads.

    Raises
    ------
    ToolFailed
        It ended with an error or was killed.
    PermanentError
        It is not installed.
    """
    with _running(args, repo, guard) as child:
        if not stdin:
            child.stdin.close()
            return child.stdout.read()
        # A pipe holds 64 kB: writing and reading must go on at the same time.
        writer = threading.Thread(target=child.write_all, args=(stdin,), daemon=True)
        writer.start()
        told = child.stdout.read()
        writer.join()
        return told


def feed(args: list[str], chunks: Iterable[bytes], *, repo: Path, guard: Guard) -> None:
    """Run a program that reads `chunks` from its stdin and writes no stdout.

    Raises
    ------
    ToolFailed, PermanentError
        As :func:`run`. What `chunks` raises passes, and ends the program.
    """
    with _running(args, repo, guard) as child:
        child.write(chunks)


class _Child:
    """A running program: pipes to its stdin and from its stdout, the end of its stderr."""

    def __init__(self, args: Sequence[str], repo: Path) -> None:
        self.name = " ".join(arg for arg in args[:2] if not arg.startswith("-"))
        self.repo = repo
        try:
            self.process = subprocess.Popen(
                args,
                cwd=repo,
                env=environment(in_repository=True),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A group of its own, so that all that it starts can be ended with it.
                start_new_session=True,
            )
        except FileNotFoundError:
            # Python names the program even where the working directory is what is gone.
            if not repo.is_dir():
                raise
            raise _missing(args[0]) from None
        self.stdin = cast("IO[bytes]", self.process.stdin)
        self.stdout = cast("IO[bytes]", self.process.stdout)
        self._stderr = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        # Read to the end, or the program would stop when the pipe is full.
        stderr = cast("IO[bytes]", self.process.stderr)
        with suppress(ValueError, OSError):
            while chunk := os.read(stderr.fileno(), 1 << 16):
                self._stderr = (self._stderr + chunk)[-TAIL:]

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write `chunks` to stdin; a program that ended is noticed by its exit code."""
        for chunk in chunks:
            try:
                self.stdin.write(chunk)
            except (BrokenPipeError, ValueError):  # it ended, or was ended from here
                return
        with suppress(BrokenPipeError, ValueError):
            self.stdin.flush()

    def write_all(self, content: bytes) -> None:
        """Write `content` to stdin, and close it."""
        self.write([content])
        with suppress(BrokenPipeError, ValueError):
            self.stdin.close()

    def wait(self) -> int:
        """Close stdin, wait for the end and return the exit code."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        code = self.process.wait()
        self._listener.join(timeout=1)
        return code

    def failure(self, what: str) -> ToolFailed | DiskTrouble:
        """Return the error for a program that failed: how, and its last words."""
        code = self.process.poll()
        how = "" if code is None else f", {_ending(code)}"
        words = self._stderr.decode("utf-8", "replace").strip()
        message = f"{self.name} {what}{how}{': ' + words if words else ''}"
        return of_last_words(message, words, self.repo) or ToolFailed(
            message,
            hint="'icfqueue doctor' checks git and git-annex; the visit is tried again",
        )

    def end(self) -> None:
        """Kill the program if it still runs, and let go of its pipes."""
        end_group(self.process)
        self._listener.join(timeout=1)
        for pipe in (self.stdin, self.stdout, self.process.stderr):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()


@contextmanager
def _running(args: Sequence[str], repo: Path, guard: Guard) -> Iterator[_Child]:
    """Run a program for the length of a block; it is gone afterwards."""
    child = _Child(args, repo)
    try:
        with guard.minding(child.process):
            yield child
            if child.wait():
                raise child.failure("failed")
    finally:
        child.end()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _missing(program: str) -> PermanentError:
    package = "git-annex" if program.startswith("git-annex") else "git"
    how = "pip install git-annex" if package == "git-annex" else "install Git"
    return PermanentError(
        f"{program} is not installed on this machine",
        hint=f"{how}; 'icfqueue doctor' says what else is missing",
        cause="setup",
    )
