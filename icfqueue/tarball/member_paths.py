"""Which member paths a dataset may promise.

A deposit must never promise what DataLad cannot give back, and a path of a tarball must
never become one outside the dataset. What is refused, and why:

- by any member: an absolute path, ``..``, ``.git`` in any spelling that a file system
  takes for it (git's own list: NTFS short names and streams, HFS+ ignorable letters);
- by a DICOM file: whatever the ``dl+archive:`` locator, a Git tree, git-annex' batch
  modes or :class:`~pathlib.PurePosixPath` would not carry unchanged, whatever clashes
  with the dataset's own files, and links, whose content is not in the tar.

Refused means that the visit fails: a dataset that silently lacks images would be taken
for a whole one, and one that lists images it cannot deliver fails years later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from icfqueue.core.errors import BadTarball
from icfqueue.tarball.header import (
    CONTINUED,
    HARD_LINK,
    SPARSE,
    SYMBOLIC_LINK,
    Member,
    shown,
)
from icfqueue.tarball.remedies import MEND, RETRY

LONGEST_NAME = 255
"""Bytes of one component, by file systems."""

LONGEST_PATH = 4000
"""Bytes of a whole path; below PATH_MAX with room for the dataset's own folder."""

# Letters that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_IGNORED = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF)
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. =,+@^()-]{0,200}")
"""A name that raises no question in a folder that raised none."""
SURELY_SHORT = 900
"""Letters of a folder below which no harmless name makes the path too long."""
_BY_HAND = f"unpack the tarball, rename the file and pack it again, {RETRY}"
_TOO_LONG = " of more than "

_ELSEWHERE = ("its content is not in the tarball", MEND)
_NOT_WHOLE = {
    HARD_LINK: _ELSEWHERE,
    SYMBOLIC_LINK: _ELSEWHERE,
    SPARSE: ("it does not lie in the tarball as it is", MEND),
    CONTINUED: ("its beginning is missing", "pack again without --multi-volume"),
}


def unsafe(path: str) -> str:
    """Return why no member may be called `path`; empty if it may."""
    if path.startswith("/"):
        return "has an absolute path"
    for name in re.split(r"[/\\]", path):
        if name == "..":
            return "leads out of its folder ('..')"
        if "." not in name and "~" not in name:
            continue
        plain = name.translate(_IGNORED).casefold().split(":", 1)[0].rstrip(" .")
        if plain in (".git", "git~1"):
            return "has a path that Git keeps for itself ('.git')"
    return ""


def unfetchable(path: str, dspath: str) -> tuple[str, str]:
    """Return why no DICOM may be called `path`, and what to do; empty if it may.

    Parameters
    ----------
    path
        As in the tar.
    dspath
        Where the tarball lies in the dataset.
    """
    names = path.split("/")
    if path.startswith("./"):
        return "has a leading './', which DataLad drops when it looks for it", MEND
    why = _unwritable(path, names) or _reserved(path, names, dspath)
    return why, _BY_HAND if _TOO_LONG in why else MEND


def _unwritable(path: str, names: list[str]) -> str:
    """Return why `path` does not come through Git, git-annex and DataLad unchanged."""
    why = ""
    if "" in names or "." in names:
        why = "has a path that is not in its shortest form ('//', '/./', '/')"
    elif "&" in path or "#" in path:
        why = "has '&' or '#' in its path, which DataLad's archive address cannot carry"
    elif _SURROGATE.search(path):
        why = "has a name that is not UTF-8"
    elif _CONTROL.search(path):
        why = "has a control character in its path"
    elif len(path.encode()) > LONGEST_PATH:
        why = f"has a path{_TOO_LONG}{LONGEST_PATH} bytes"
    elif max(len(name.encode()) for name in names) > LONGEST_NAME:
        why = f"has a name{_TOO_LONG}{LONGEST_NAME} bytes"
    return why


def _reserved(path: str, names: list[str], dspath: str) -> str:
    """Return why `path` is the dataset's own or Git's."""
    if any(name.translate(_IGNORED).casefold().startswith(".git") for name in names):
        return "has a name that begins with '.git', which Git reads itself"
    if names[0].casefold() == ".datalad":
        return "lies in '.datalad', which is the dataset's own"
    if path == dspath or path.startswith(f"{dspath}/") or dspath.startswith(f"{path}/"):
        return f"is in the way of the tarball itself ({dspath})"
    return ""


class Paths:
    """The paths of one tarball's DICOM files; finds clashes among them.

    Memory grows by about a name per file.

    Parameters
    ----------
    dspath
        Where the tarball lies in the dataset.
    tar
        What messages call the tarball.
    """

    def __init__(self, dspath: str, *, tar: str = "the tarball") -> None:
        self._dspath = dspath
        self._tar = tar
        self._names: dict[str, set[str]] = {}
        self._others: set[str] = set()
        self._special = ("", dspath.rpartition("/")[0])

    def check(self, member: Member) -> None:
        """Check what holds for every member.

        Raises
        ------
        BadTarball
            The member's path could lead elsewhere, or it is a link.
        """
        path = member.name
        folder, _, name = path.rpartition("/")
        if not (folder in self._names and self._harmless(folder, name)):
            why = unsafe(path)
            if why:
                raise self._refused(path, why, MEND)
        refused = _NOT_WHOLE.get(member.kind)
        if refused:
            raise self._refused(path, f"is a {member.kind}: {refused[0]}", refused[1])

    def pass_over(self, path: str) -> None:
        """Remember a member that is no DICOM file.

        ``tarfile``, and so DataLad, finds the last member of a name: a text file or a
        folder called like an image would be given out in its place.

        Raises
        ------
        BadTarball
            A DICOM file is called the same.
        """
        folder, _, name = path.rpartition("/")
        if name in self._names.get(folder, ()):
            raise self._refused(path, "is in it twice", MEND)
        self._others.add(path)

    def add(self, path: str) -> None:
        """Check what holds for a DICOM file, and remember it.

        Raises
        ------
        BadTarball
            DataLad could not give it back, or it clashes with another one.
        """
        folder, _, name = path.rpartition("/")
        names = self._names.get(folder)
        if names is None or not self._harmless(folder, name):
            why, hint = unfetchable(path, self._dspath)
            if why:
                raise self._refused(path, why, hint)
            names = self._names.get(folder)
            if names is None:
                names = self._folder(folder, path)
        if name in names or path in self._others:
            raise self._refused(path, "is in it twice", MEND)
        if (f"{folder}/{name}" if folder else name) in self._names:
            raise self._refused(path, "is both a file and a folder", MEND)
        names.add(name)

    def dicoms(self) -> Mapping[str, AbstractSet[str]]:
        """Return the names of the DICOM files of each folder, and of those above it."""
        return self._names

    def _harmless(self, folder: str, name: str) -> bool:
        """Tell whether `name` raises no question in a folder that raised none."""
        return (
            HARMLESS.fullmatch(name) is not None
            and folder not in self._special
            and len(folder) < SURELY_SHORT
        )

    def _folder(self, folder: str, path: str) -> set[str]:
        """Remember `folder` and those above it; none of them may be a file."""
        at = folder
        while at and at not in self._names:
            above, _, name = at.rpartition("/")
            if name in self._names.get(above, ()):
                raise self._refused(
                    path, f"lies below {shown(at)}, which is a file as well", MEND
                )
            self._names[at] = set()
            at = above
        return self._names.setdefault(folder, set())

    def _refused(self, path: str, why: str, hint: str) -> BadTarball:
        message = f"{self._tar}: member {shown(path)} {why}"
        return BadTarball(message, hint=hint, cause="bad-name", may_grow=False)
