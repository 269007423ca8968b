"""Annex keys, as git-annex itself names them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from icfqueue.core.guard import Guard
from icfqueue.dataset.programs import _Child
from icfqueue.dataset.repository import make_bare

BATCH = 1000
"""Keys asked for, or files written, between two safe points."""


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

    def keys(self, wanted: Iterable[WantedKey], guard: Guard) -> Iterator[AnnexKey]:
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
            asked = self._ask(batch) if batch else None
            while asked:
                answers = self._answers(asked, guard)
                # It names these while those are being used.
                batch = list(islice(remaining, BATCH))
                asked = self._ask(batch) if batch else None
                yield from answers
                guard.advance()
        except BaseException:
            # Answers to this batch must never be read as answers to another one.
            self.close()
            raise

    def _ask(self, batch: list[WantedKey]) -> _Asked:
        child = self._running_child()
        question = b"".join(
            b"MD5-s%d--%s %s\n" % (item.size, item.md5.encode(), item.path)
            for item in batch
        )
        # A pipe holds 64 kB: writing and reading must go on at the same time.
        writer = threading.Thread(target=child.write, args=([question],), daemon=True)
        writer.start()
        return _Asked(child, batch, writer)

    def _answers(self, asked: _Asked, guard: Guard) -> list[AnnexKey]:
        with guard.minding(asked.child.process):
            answers = [_answer(asked.child, item) for item in asked.batch]
            asked.writer.join()
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


class _Asked(NamedTuple):
    """A batch that git-annex was asked about, and the thread that still may be asking."""

    child: _Child
    batch: list[WantedKey]
    writer: threading.Thread


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
