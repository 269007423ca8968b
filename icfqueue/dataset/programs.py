"""The one module that runs git and git-annex.

Every program runs in its own process group, minded by the step's watch, with none of
the user's, the host's or the caller's git configuration, so that what it writes depends
on its input alone. A failure carries the end of the program's stderr. Programs are
looked for beside the running Python first: a worker started by its absolute path has a
``PATH`` without the environment's programs.

Sources: ``git help fast-import``, ``git help read-tree``, the environment variables in
``git help git``; https://git-annex.branchable.com/git-annex-examinekey/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

from icfqueue.core.errors import BadTarball, DiskTrouble, PermanentError, ToolFailed
from icfqueue.core.guard import Watch, end_group
from icfqueue.store.directory import DISK_ERRORS, is_full

TAIL = 2048
"""Bytes of a program's stderr that an error keeps: its end, where the reason stands."""

BATCH = 1000
"""Keys asked for, or files written, between two safe points."""

BARE_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
"""``config`` of a bare repository. ``git init`` writes the same on a POSIX file system,
but probes it (``filemode``, ``symlinks``, ``ignorecase``), so that the store's file
system would show in the deposit."""


class AnnexKey(NamedTuple):
    """A git-annex key and its two hash directories, as git-annex itself gives them.

    All three are bytes: the extension in a key is a part of a file name, which need not
    be UTF-8. The directories end with ``/``.
    """

    name: bytes
    lower: bytes
    mixed: bytes


class WantedKey(NamedTuple):
    """Content to be named by a key: size (bytes), MD5 (hex) and the file it is for."""

    size: int
    md5: str
    path: bytes


MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""Settings of the GNU C library (mallopt(3)); others ignore them. `git fast-import`
compresses each object with buffers of its own, of 256 kB: by default these are asked of
the kernel and given back each time, which took two thirds of the time of small visits."""


def environment(repo: Path | None = None) -> dict[str, str]:
    """Return the environment in which git and git-annex run.

    Parameters
    ----------
    repo
        The only repository that they may use.
    """
    env = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
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
    if repo is not None:
        env["GIT_DIR"] = str(repo)
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


def make_bare(folder: Path) -> Path:
    """Make the empty bare repository `folder`, with ``master`` as its branch.

    The four entries are what git asks of a repository (``git help
    gitrepository-layout``); writing them saves a process per visit.
    """
    for part in ("objects/pack", "refs/heads"):
        (folder / part).mkdir(parents=True)
    (folder / "HEAD").write_bytes(b"ref: refs/heads/master\n")
    (folder / "config").write_bytes(BARE_CONFIG)
    return folder


def run(args: list[str], *, repo: Path, watch: Watch) -> bytes:
    """Run a program to its end and return its stdout.

    Parameters
    ----------
    args
        ``["git", …]`` or ``["git-annex", …]``.
    repo
        The bare repository that it works on, also its working directory.

    Raises
    ------
    ToolFailed
        It ended with an error or was killed.
    PermanentError
        It is not installed.
    """
    with _running(args, repo, watch) as child:
        child.stdin.close()
        return child.stdout.read()


def feed(args: list[str], chunks: Iterable[bytes], *, repo: Path, watch: Watch) -> None:
    """Run a program that reads `chunks` from its stdin and writes no stdout.

    Raises
    ------
    ToolFailed, PermanentError
        As :func:`run`. What `chunks` raises passes, and ends the program.
    """
    with _running(args, repo, watch) as child:
        child.write(chunks)


def fast_import(repo: Path, stream: Iterable[bytes], watch: Watch) -> None:
    """Write a ``git fast-import`` stream into the bare repository `repo`, as one pack.

    The stream must end with ``done``: one that breaks off then fails instead of making
    half a dataset.
    """
    feed(
        ["git", *_ONE_PACK, "fast-import", "--quiet", "--done"],
        stream,
        repo=repo,
        watch=watch,
    )


_ONE_PACK = ("-c", "fastimport.unpackLimit=0")
"""Else a small import would become loose files. Compression level and delta depth are
git's own: no deltas make a deposit of 5,460 DICOM files a quarter larger and nothing
faster, other levels change it by less than one per cent."""


def check_tree(repo: Path, ref: str, watch: Watch) -> None:
    """Ask git whether the tree of `ref` can be checked out, on any file system.

    Raises
    ------
    BadTarball
        A path that git refuses (``.git`` and what NTFS or HFS+ take for it).
    """
    strict = ["-c", "core.protectNTFS=true", "-c", "core.protectHFS=true"]
    try:
        run(
            ["git", *strict, "read-tree", f"--index-output={repo / 'index'}", ref],
            repo=repo,
            watch=watch,
        )
    except ToolFailed as error:
        refused = re.search(r"invalid path '(.*)'", error.message, re.DOTALL)
        if refused is None:
            raise
        # An error's words are escaped already, but for the ends of lines.
        member = refused[1].replace("\n", "\\n")
        raise BadTarball(
            f"member '{member}' has a name that git refuses to check out",
            hint="the tarball must be made anew without it",
        ) from error
    (repo / "index").unlink(missing_ok=True)


class KeySource:
    """A ``git annex examinekey --batch`` that names keys, started when first asked.

    One source can serve many visits, one after another: its start is then paid once. It
    starts again by itself after it died. Not for use by two threads at once.

    Parameters
    ----------
    repo
        The bare repository to run in, which is left as it is; without it, an empty one in
        the system's folder for temporary files, which is gone as soon as git-annex has
        begun to answer: a worker that is killed leaves nothing behind.
    """

    _COMMAND = (
        "git-annex",
        "examinekey",
        "--batch",
        "--migrate-to-backend=MD5E",
        "--format=${key} ${hashdirlower} ${hashdirmixed}\\n",
    )

    def __init__(self, repo: Path | None = None) -> None:
        self._repo = repo
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._child: _Child | None = None
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program; remove the repository that was made for it."""
        if self._child is not None:
            self._child.end()
            self._child = None
        self._forget_folder()

    def _forget_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def keys(self, wanted: Iterable[WantedKey], watch: Watch) -> Iterator[AnnexKey]:
        """Yield the MD5E key of each of `wanted`, in order.

        Raises
        ------
        ToolFailed
            git-annex ended, or answered something else than was asked.
        PermanentError
            It is not installed.
        """
        remaining = iter(wanted)
        batch = list(islice(remaining, BATCH))
        try:
            if batch:
                self._ask(batch)
            while batch:
                answers = self._answers(batch, watch)
                # It names these while those are being used.
                if batch := list(islice(remaining, BATCH)):
                    self._ask(batch)
                yield from answers
                watch.advance()
        except BaseException:
            # Answers to this batch must never be read as answers to another one.
            self.close()
            raise

    def _ask(self, batch: list[WantedKey]) -> None:
        child = self._running_child()
        question = b"".join(
            b"MD5-s%d--%s %s\n" % (item.size, item.md5.encode(), item.path)
            for item in batch
        )
        # A pipe holds 64 kB: writing and reading must go on at the same time.
        self._writer = threading.Thread(target=child.write, args=([question],), daemon=True)
        self._writer.start()

    def _answers(self, batch: list[WantedKey], watch: Watch) -> list[AnnexKey]:
        child, writer = self._child, self._writer
        assert child  # noqa: S101 - asked before
        assert writer  # noqa: S101 - the same
        with watch.minding(child.process):
            answers = [_answer(child, item) for item in batch]
            writer.join()
        self._forget_folder()
        return answers

    def _running_child(self) -> _Child:
        if self._child is not None and self._child.process.poll() is None:
            return self._child
        self.close()
        repo = self._repo
        if repo is None:
            self._folder = tempfile.TemporaryDirectory(prefix="icfqueue-keys-")
            repo = make_bare(Path(self._folder.name) / "repo")
        self._child = _Child(self._COMMAND, repo)
        return self._child


def _answer(child: _Child, item: WantedKey) -> AnnexKey:
    line = child.stdout.readline()
    if not line.endswith(b"\n"):
        child.wait()
        raise child.failure("broke off")
    words = line.split()
    wanted = b"MD5E-s%d--%s" % (item.size, item.md5.encode())
    if len(words) != len(AnnexKey._fields) or not words[0].startswith(wanted):
        raise child.failure(f"gave no key for {item.path.decode('utf-8', 'replace')!r}")
    return AnnexKey(*words)


class _Child:
    """A running program: pipes to its stdin and from its stdout, the end of its stderr."""

    def __init__(self, args: Sequence[str], repo: Path) -> None:
        self.name = " ".join(arg for arg in args[:2] if not arg.startswith("-"))
        self.repo = repo
        try:
            self.process = subprocess.Popen(
                args,
                cwd=repo,
                env=environment(repo),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A group of its own, so that all that it starts can be ended with it.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            if error.filename == str(repo):
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
        if any(os.strerror(number) in words for number in DISK_ERRORS) or is_full(
            self.repo
        ):
            return DiskTrouble(message, hint="make room or repair the file system")
        return ToolFailed(
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
def _running(args: Sequence[str], repo: Path, watch: Watch) -> Iterator[_Child]:
    """Run a program for the length of a block; it is gone afterwards."""
    child = _Child(args, repo)
    try:
        with watch.minding(child.process):
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
    )
