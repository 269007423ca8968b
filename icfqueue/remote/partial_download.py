"""A part of a tarball: what a download has received so far, kept for the next try.

In the visit's work folder, under names that no two workers share::

    part-<token>          the bytes
    part-<token>.json     which file they are from, how many count, whether it was closed

A worker that was given up for dead may wake up and go on writing. So nobody writes into
a part that somebody else may have open: one that was closed in good order is renamed,
one that was not is copied, up to the last mark at which its bytes were known to be on
disk, and then removed.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from icfqueue.core.errors import DiskTrouble, Interrupted, TransientError
from icfqueue.remote.download import RemoteFile

MARK = 256 << 20
"""Bytes between two marks. After a crash at most so many are fetched again, and the last
flush before the tarball is published is short, however large it is."""

BLOCK = 1 << 20
"""Bytes read or copied at once."""


@dataclass(frozen=True, slots=True)
class Note:
    """The note beside a part.

    Attributes
    ----------
    file
        The store's file that the bytes are from.
    have
        How many bytes count.
    closed
        Whether the worker that wrote it has closed it.
    """

    file: RemoteFile
    have: int = 0
    closed: bool = False

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the note at `path`, or None if it is not there or not whole."""
        try:
            with _open(path, os.O_RDONLY) as file:
                found = json.loads(file.read())
            return cls(RemoteFile(**found["file"]), int(found["have"]), found["closed"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Let the note appear at `path`, whole."""
        new = path.with_suffix(".new")
        # Of a worker that died just here, or a link that somebody put there.
        new.unlink(missing_ok=True)
        with _open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
            file.write(json.dumps(asdict(self)).encode())
        new.replace(path)


class Part:
    """A part that this worker writes.

    As a context manager it is closed for the next try if the trouble may pass, and
    removed if its bytes are of no more use, the disk is full, or the visit is no longer
    this worker's. :meth:`finish` ends it well.

    Parameters
    ----------
    work
        The visit's work folder, by the path of a descriptor; it exists.
    note
        What is known of the bytes at the start.
    source
        A part of somebody else's to take over; None starts empty.
    """

    def __init__(self, work: Path, note: Note, source: Path | None = None) -> None:
        self.path = work / f"part-{secrets.token_hex(8)}"
        self.note = replace(note, closed=False)
        self._marks: ThreadPoolExecutor | None = None
        self._marking: Future[None] | None = None
        self._done = False
        try:
            # The note first: without it the bytes would be nobody's.
            self.note.write(_note_of(self.path))
            if source is not None:
                source.rename(self.path)
            # No buffer: what was written is what the file has, and errors come at once.
            made = os.O_CREAT | os.O_EXCL if source is None else 0
            self._file = _open(self.path, os.O_RDWR | made)
            self._file.truncate(note.have)
            self._file.seek(note.have)
        except BaseException:
            _remove(self.path)
            raise
        self.have = self._marked = note.have

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        may_pass = isinstance(error, TransientError | Interrupted | KeyboardInterrupt)
        if may_pass and not isinstance(error, DiskTrouble) and self.have:
            self.close()
        else:
            self.discard()

    def write(self, piece: bytes) -> None:
        """Append `piece`."""
        view = memoryview(piece)
        while view:
            # A disk that fills up takes the first bytes of a piece and not the rest.
            written = self._file.write(view)
            view = view[written:]
        self.have += len(piece)
        if self.have - self._marked >= MARK:
            self._mark()

    def restart(self, file: RemoteFile) -> None:
        """Start over with another file, or with the same from its first byte."""
        self._wait()
        self._file.truncate(0)
        self._file.seek(0)
        self.have = self._marked = 0
        self.note = Note(file)
        self.note.write(_note_of(self.path))

    def feed(self, take: Callable[[bytes], object], check: Callable[[], None]) -> None:
        """Give `take` the bytes that are here already, calling `check` in between."""
        with _open(self.path, os.O_RDONLY) as file:
            while block := file.read(BLOCK):
                take(block)
                check()

    def finish(self) -> Path:
        """Close a part that has become the whole file; return where it is."""
        self._wait()
        self._file.close()
        return self.path

    def close(self) -> None:
        """Close it for the next try."""
        if self._done:
            return
        self._done = True
        try:
            self._wait()
            if not self._file.closed:
                os.fdatasync(self._file.fileno())
                self._file.close()
            # A work folder that is gone stays gone: the visit is somebody else's.
            note = replace(self.note, have=self.have, closed=True)
            note.write(_note_of(self.path))
        except OSError:
            self._done = False
            self.discard()

    def discard(self) -> None:
        """Remove it."""
        if self._done:
            return
        self._done = True
        with suppress(OSError):
            self._wait()
        with suppress(OSError):
            self._file.close()
        _remove(self.path)

    def _mark(self) -> None:
        """Have another thread put on disk what is here, and note how much that is."""
        if self._marking is not None:
            if not self._marking.done():
                return
            self._marking.result()
        if self._marks is None:
            self._marks = ThreadPoolExecutor(1, "mark")
        self._marked = self.have
        self.note = replace(self.note, have=self.have)
        self._marking = self._marks.submit(self._put_mark, self.note)

    def _put_mark(self, note: Note) -> None:
        os.fdatasync(self._file.fileno())
        note.write(_note_of(self.path))

    def _wait(self) -> None:
        """Wait for the thread; raises what went wrong in it."""
        if self._marks is not None:
            self._marks.shutdown()
            self._marks = None
        if self._marking is not None:
            marking, self._marking = self._marking, None
            marking.result()


def take_over(
    work: Path, check: Callable[[], None], fits: Callable[[int], bool]
) -> Part | None:
    """Return the longest part that earlier tries left in `work`, as this worker's own.

    All others are removed.

    Parameters
    ----------
    work
        The visit's work folder, by the path of a descriptor.
    check
        Called in between; may raise.
    fits
        Tells whether there is room for so many bytes more, where a part must be copied.
    """
    left = []
    for path in _parts(work):
        note = Note.read(_note_of(path))
        if note and note.have and _is_file(path):
            left.append((note.have, note.closed, path, note))
    part = None
    for *_, path, note in sorted(left, reverse=True, key=lambda found: found[:2]):
        # Gone meanwhile; or another user's who kept it from the group.
        with suppress(FileNotFoundError, PermissionError):
            part = _adopt(work, path, note, check, fits)
            break
    sweep(work, keep=part)
    return part


def kept(work: Path) -> int:
    """Return the bytes of the longest part in `work` that a next try can go on with."""
    notes = (Note.read(_note_of(path)) for path in _parts(work) if path.exists())
    return max((note.have for note in notes if note), default=0)


def sweep(work: Path, keep: Part | None = None) -> None:
    """Remove every part in `work` but `keep`."""
    for path in _parts(work):
        if keep is None or path != keep.path:
            _remove(path)


def _adopt(
    work: Path,
    path: Path,
    note: Note,
    check: Callable[[], None],
    fits: Callable[[int], bool],
) -> Part | None:
    # The last byte is always asked for again: no range of bytes is empty.
    have = min(note.have, (note.file.size or 1) - 1)
    if note.closed:
        size = path.lstat().st_size
        part = Part(work, replace(note, have=min(have, size)), path)
        _remove(path)
        return part
    if not fits(have):
        return None
    part = Part(work, replace(note, have=0))
    try:
        with _open(path, os.O_RDONLY) as file:
            _copy(file.fileno(), part, have, check)
    except BaseException:
        part.discard()
        raise
    return part


def _copy(source: int, part: Part, most: int, check: Callable[[], None]) -> None:
    """Append the first `most` bytes of the open file `source` to `part`."""
    offset = 0
    while offset < most:
        block = os.pread(source, min(BLOCK, most - offset), offset)
        if not block:
            return
        part.write(block)
        offset += len(block)
        check()


def _parts(work: Path) -> list[Path]:
    """Return the parts that lie in `work`, or of which only the note does."""
    try:
        names = {path.name.partition(".")[0] for path in work.iterdir()}
    except FileNotFoundError:
        return []
    return [work / name for name in sorted(names) if name.startswith("part-")]


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _remove(path: Path) -> None:
    note = _note_of(path)
    for name in (path, note, note.with_suffix(".new")):
        with suppress(OSError):
            name.unlink()


def _is_file(path: Path) -> bool:
    """Return whether a file is at `path`: no link, no pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _open(path: Path, flags: int) -> FileIO:
    """Open the file at `path` without a buffer; a link there is not followed.

    A new one is the work folder's group's as that folder is, whatever the umask: the next
    worker of another user goes on with it.
    """
    file = FileIO(
        os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666),
        "r+b" if flags & os.O_RDWR else "rb",
    )
    if flags & os.O_CREAT:
        _share(file.fileno(), path.parent)
    return file


def _share(file: int, folder: Path) -> None:
    """Give the open file the group of `folder`, which may read and write it as that."""
    around, found = folder.stat(), os.fstat(file)
    # File systems without owners refuse both.
    if found.st_gid != around.st_gid:
        with suppress(PermissionError):
            os.fchown(file, -1, around.st_gid)
    rights = around.st_mode & (stat.S_IRGRP | stat.S_IWGRP)
    if rights & ~found.st_mode:
        with suppress(PermissionError):
            os.fchmod(file, stat.S_IMODE(found.st_mode) | rights)
