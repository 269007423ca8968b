"""A first look at the files: which are DICOM, of which study, from when, and named how.

Nothing is written before all of them were looked at: whatever stands in the way is said at
once, and files that are not DICOM get the time of the newest that are. Of each file 24
bytes are kept.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from icfqueue.archive.folders import Source, sources
from icfqueue.archive.member_header import blocks
from icfqueue.archive.refusals import SPECIAL, UNREADABLE, Kind, Refusals, bad_name
from icfqueue.core.errors import BadFolder
from icfqueue.core.visit import Visit
from icfqueue.store.fingerprint import Fingerprint
from icfqueue.tarball.dicom_study import Study, StudyReader
from icfqueue.tarball.dicom_tags import HEAD_ENOUGH, HEAD_LIMIT
from icfqueue.tarball.dicom_walk import NeedMore
from icfqueue.tarball.header import BLOCK, shown
from icfqueue.tarball.member_paths import HARMLESS, SURELY_SHORT, unfetchable, unsafe

_FIRST_READ: Final = 8 << 10
"""Bytes that have the study of nearly every file."""

_UNDATED: Final = -1
_SHOWN_STUDIES = 5

OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""How a file is opened: no link, and not waiting at a pipe that took its place."""


@dataclass
class Survey:
    """What was found in the folders.

    Attributes
    ----------
    files, dicoms
        Number of files, and of those of them that are DICOM.
    undated
        Number of DICOM files that say no date.
    size
        Bytes of the tarball, at least.
    newest
        Latest time of a DICOM file, in seconds since 1970; 0 if none says one.
    """

    files: int = 0
    dicoms: int = 0
    undated: int = 0
    size: int = 0
    newest: int = 0
    _times: array[int] = field(default_factory=lambda: array("q"))
    _sizes: array[int] = field(default_factory=lambda: array("q"))
    _marks: array[int] = field(default_factory=lambda: array("q"))

    def add(self, source: Source, found: os.stat_result, study: Study | None) -> None:
        """Note a file, in the order of the tarball."""
        self.files += 1
        self.size += BLOCK + blocks(found.st_size)
        time = _UNDATED
        if study:
            self.dicoms += 1
            if study.time is None:
                self.undated += 1
            else:
                time = study.time
                self.newest = max(self.newest, time)
        self._times.append(time)
        self._sizes.append(found.st_size)
        self._marks.append(_mark(source, found))

    def time(self, number: int) -> int:
        """Return the time of the file `number`, in seconds since 1970."""
        time = self._times[number]
        return self.newest if time == _UNDATED else time

    def bytes_of(self, number: int) -> int:
        """Return the size of the file `number`, in bytes."""
        return self._sizes[number]

    def is_still(self, number: int, source: Source, found: os.stat_result) -> bool:
        """Tell whether `source` is the file `number`, and as it was."""
        return number < self.files and self._marks[number] == _mark(source, found)


def _mark(source: Source, found: os.stat_result) -> int:
    """Return what tells a file, as it is now, from others and from itself later."""
    return hash((source.name, Fingerprint.of(found)))


def survey(
    visit: Visit, folders: Sequence[Path], *, several_studies: bool = False
) -> Survey:
    """Look at all files of `folders`.

    Parameters
    ----------
    several_studies
        Whether the DICOM files may be of more than one study.

    Raises
    ------
    BadFolder
        They cannot become the visit's tarball; the message has all that is wrong.
    """
    refused = Refusals(f"{visit} cannot be archived")
    look = _Look(visit, refused)
    for source in sources(folders, refused):
        look.at(source)
    refused.raise_if_any()
    found = look.survey
    if not found.dicoms:
        where = ", ".join(str(folder) for folder in folders)
        what = f"none of {found.files} files is DICOM" if found.files else "it is empty"
        raise BadFolder(
            f"{visit} cannot be archived: {what} ({where})",
            hint="give the folder with the visit's DICOM files; is it mounted?",
        )
    if len(look.studies) > 1 and not several_studies:
        raise _several(visit, look.studies)
    return found


class _Look:
    """Looks at one file after the other.

    Parameters
    ----------
    refused
        Told of what can be no member.
    """

    def __init__(self, visit: Visit, refused: Refusals) -> None:
        self.survey = Survey()
        self.studies: dict[str, tuple[int, str]] = {}
        """Study Instance UID to the number of its files, and one of them."""
        self._top = top_of(visit)
        self._dspath = visit.dspath
        self._refused = refused
        self._reader = StudyReader()
        self._good_folder = ""

    def at(self, source: Source) -> None:
        """Look at one file."""
        try:
            file = os.open(source.path, OPEN)
        except OSError:
            self._refuse(UNREADABLE, source)
            return
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                self._refuse(SPECIAL, source)
                return
            study = self._study(file, found.st_size)
        except OSError:
            self._refuse(UNREADABLE, source)
            return
        finally:
            os.close(file)
        why = self._why_not(self._top + source.name, dicom=study is not None)
        if why:
            self._refuse(bad_name(why), source)
            return
        self.survey.add(source, found, study)
        if study and study.uid:
            count, first = self.studies.get(study.uid, (0, source.name))
            self.studies[study.uid] = (count + 1, first)

    def _study(self, file: int, size: int) -> Study | None:
        """Read as much of a file as its study takes."""
        for most in (_FIRST_READ, HEAD_ENOUGH):
            if size <= most:
                break
            try:
                return self._reader.read(os.pread(file, most, 0), whole=False)
            except NeedMore:
                continue
        return self._reader.read(os.pread(file, HEAD_LIMIT, 0), whole=True)

    def _why_not(self, path: str, *, dicom: bool) -> str:
        """Return why no member may be called so; empty if it may."""
        folder, _, name = path.rpartition("/")
        if folder == self._good_folder and HARMLESS.fullmatch(name):
            return ""
        why = unsafe(path) or (unfetchable(path, self._dspath)[0] if dicom else "")
        if not why and dicom and len(folder) < SURELY_SHORT:
            self._good_folder = folder
        return why

    def _refuse(self, kind: Kind, source: Source) -> None:
        self._refused.add(kind, os.fsdecode(source.path))


def top_of(visit: Visit) -> str:
    """Return the folder of the tarball in which everything lies, with its slash."""
    return f"{visit.project}_{visit.id}/"


def _several(visit: Visit, studies: dict[str, tuple[int, str]]) -> BadFolder:
    """Return the error for files of more than one study, whose ids it does not tell."""
    most = sorted(studies.values(), key=lambda one: (-one[0], one[1]))
    words = [
        f"{count} of one ({shown(first)}, …)" for count, first in most[:_SHOWN_STUDIES]
    ]
    if len(most) > _SHOWN_STUDIES:
        words.append("…")
    return BadFolder(
        f"{visit} cannot be archived: its DICOM files are of {len(most)} studies "
        f"(StudyInstanceUID): {', '.join(words)}",
        hint="give the folder of one visit; if they are one, say so by --several-studies",
    )
