"""``icfqueue archive``: from folders of DICOM files to the tarball of a visit.

::

    folders ──> survey: DICOM? study? from when? named how? ──> all that is wrong, at once
       └──────> TarWriter: sorted, root's, 0644, dated ──> <visit>_dicom.tar
                    └──> MD5 (second thread) ────────────> <visit>_dicom.tar.md5sum

The bytes depend on the files' names and contents, on the ids and on nothing else.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from icfqueue.archive.folders import Source, sources
from icfqueue.archive.refusals import CHANGING, Refusals
from icfqueue.archive.survey import OPEN, Survey, survey, top_of
from icfqueue.archive.tar_writer import Short, TarWriter
from icfqueue.core.errors import (
    ArchiveExists,
    BadFolder,
    DiskTrouble,
    IcfqueueError,
    NoRoom,
    UsageError,
)
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.plain_text import size as shown_size
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.disk import as_disk_trouble

State = Literal["written", "replaced", "up to date"]


@dataclass(frozen=True, slots=True)
class Archived:
    """A visit's tarball as it is now.

    Attributes
    ----------
    state
        Whether it is new, or in the place of another one, or was there already.
    size, md5
        Of the tarball, in bytes and in hex.
    files, dicoms, undated
        Number of files in it, of DICOM files, and of those of them without a date.
    """

    state: State
    size: int
    md5: str
    files: int
    dicoms: int
    undated: int


def archive(
    store: Store,
    visit: Visit,
    folders: Sequence[Path],
    *,
    force: bool = False,
    several_studies: bool = False,
) -> Archived:
    """Write the visit's tarball, and its MD5 beside it, from the files of `folders`.

    Parameters
    ----------
    folders
        What is in each lies at the top of the tarball.
    force
        Whether another tarball of that name is replaced.
    several_studies
        Whether the DICOM files may be of more than one study.

    Raises
    ------
    BadFolder
        The files cannot become a tarball, or one changed meanwhile.
    ArchiveExists
        Another tarball is there.
    UsageError
        A folder is no folder, or the store directory lies in it.
    DiskTrouble, NoRoom
        It cannot be written.
    """
    _check(store, visit, folders)
    found = survey(visit, folders, several_studies=several_studies)
    target = store.path(visit, visit.tarball)
    there = store.stat(target)
    if there is not None:
        md5 = _same(store, visit, folders, found)
        if md5:
            _complete(store, visit, md5)
            return _archived("up to date", there.st_size, md5, found)
        if not force:
            raise ArchiveExists(
                f"{target} is there, with other content than {_named(folders)}",
                hint="it was left alone; remove it if the folder is right",
            )
    with writing(visit):
        size, md5 = _write(store, visit, folders, found)
    return _archived("written" if there is None else "replaced", size, md5, found)


def _archived(state: State, size: int, md5: str, found: Survey) -> Archived:
    return Archived(state, size, md5, found.files, found.dicoms, found.undated)


def _named(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)


def _check(store: Store, visit: Visit, folders: Sequence[Path]) -> None:
    """Raise unless the folders can be asked for their files."""
    store.check_is_there()
    project = store.project_dir(visit.project).resolve()
    real = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, real, strict=True):
        if not place.is_dir():
            raise UsageError(f"{folder} is no folder", hint="is it mounted?")
        if place == project or place in project.parents:
            raise UsageError(
                f"the store's folder {project} lies in {folder}, which is to be archived",
                hint="give the folder of one visit's DICOM files",
            )
        if any(place in other.parents for other in real) or real.count(place) > 1:
            raise UsageError(
                f"{folder} is given twice, or another FOLDER lies in it",
                hint="give each folder once; all below it is taken",
            )


def _pass(
    visit: Visit, folders: Sequence[Path], found: Survey, sink: Callable[[memoryview], None]
) -> tuple[int, str]:
    """Hand the tar to `sink`; return its size and MD5.

    Raises
    ------
    BadFolder
        The files are not those that were looked at.
    """
    top, count = top_of(visit), 0
    refused = Refusals(f"{visit} was not archived")
    with TarWriter(sink) as tar:
        for number, source in enumerate(sources(folders, refused)):
            if number >= found.files:
                _changed(refused, source)
            try:
                file = os.open(source.path, OPEN)
            except OSError:
                _changed(refused, source)
            try:
                size = found.bytes_of(number)
                tar.add(top + source.name, found.time(number), size, reading(file))
                if not found.is_still(number, source, os.fstat(file)):
                    _changed(refused, source)
            except Short:
                _changed(refused, source)
            finally:
                os.close(file)
            count += 1
        refused.raise_if_any()
        if count < found.files:
            raise BadFolder(
                f"{visit} was not archived: {found.files - count} of {found.files} files "
                "went away meanwhile",
                hint=CHANGING.remedy,
            )
        tar.finish()
    return tar.size, tar.md5


def reading(file: int) -> Callable[[memoryview], int]:
    """Return what reads on in an open file."""
    return lambda view: os.readv(file, [view])


def _changed(refused: Refusals, source: Source) -> NoReturn:
    refused.add(CHANGING, os.fsdecode(source.path))
    refused.raise_if_any()
    raise AssertionError


class _Other(Exception):
    """The tarball that is there has other bytes."""


def _same(store: Store, visit: Visit, folders: Sequence[Path], found: Survey) -> str:
    """Return the MD5 of the tarball that is there if it is the one of `folders`."""
    with store.open_read(store.path(visit, visit.tarball)) as raw:
        there = io.BufferedReader(raw)

        def compare(piece: memoryview) -> None:
            if there.read(len(piece)) != bytes(piece):
                raise _Other

        with suppress(_Other):
            _, md5 = _pass(visit, folders, found, compare)
            return "" if there.read(1) else md5
    return ""


def _write(
    store: Store, visit: Visit, folders: Sequence[Path], found: Survey
) -> tuple[int, str]:
    """Write tarball and MD5, and have both appear; return size and MD5."""
    store.make_dir(store.project_dir(visit.project))
    room = store.room()
    if room < found.size:
        raise NoRoom(
            f"{visit.tarball} takes {shown_size(found.size)}, and {shown_size(room)} are "
            f"free in {store.root}",
            hint="make room, or give another store directory",
        )
    with store.archive_scratch(visit) as scratch:
        tar, told = scratch / "tar", scratch / "md5sum"
        with tar.open("xb", buffering=0) as out:
            size, md5 = _pass(visit, folders, found, lambda piece: write_all(out, piece))
        told.write_text(md5_line(visit, md5))
        # A sum that is not of this tarball may not stand beside it for a moment.
        store.withdraw(visit, store.path(visit, visit.md5sum), UNGUARDED)
        pairs = [(tar, visit.tarball), (told, visit.md5sum)]
        store.publish_all(
            [(one, store.path(visit, name)) for one, name in pairs], UNGUARDED
        )
    return size, md5


def write_all(out: io.FileIO, piece: memoryview) -> None:
    """Write all of `piece`: the system may take less at a time."""
    while piece:
        piece = piece[out.write(piece) :]


def _complete(store: Store, visit: Visit, md5: str) -> None:
    """Have the MD5 stand beside a tarball that is there."""
    target, line = store.path(visit, visit.md5sum), md5_line(visit, md5)
    if store.exists(target) and store.read_bytes(target) == line.encode():
        return
    with writing(visit), store.archive_scratch(visit) as scratch:
        told = scratch / "md5sum"
        told.write_text(line)
        store.publish(told, target, UNGUARDED)


def md5_line(visit: Visit, md5: str) -> str:
    """Return the content of the file with the tarball's MD5, as md5sum writes it."""
    return f"{md5}  {visit.tarball}\n"


@contextmanager
def writing(visit: Visit) -> Iterator[None]:
    """Say what keeps a tarball from being written."""
    try:
        yield
    except OSError as error:
        trouble = as_disk_trouble(error, f"writing {visit.storepath}")
        if trouble:
            again = "make room or repair the file system, then give the command again"
            raise DiskTrouble(trouble.message, hint=again) from error
        if error.errno == errno.ENOENT:
            raise IcfqueueError(
                f"{visit.storepath}: what was written of it is gone",
                hint="is the visit being archived by somebody else?",
            ) from error
        raise
