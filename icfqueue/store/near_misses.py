"""Files in a project's folder that somebody may have meant as a visit's tarball."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import TAR_SUFFIX, Visit
from icfqueue.store.inventory import is_project
from icfqueue.store.reading import StoreReader

_UNPACK = {
    "gz": "gunzip",
    "tgz": "gunzip",
    "bz2": "bunzip2",
    "tbz": "bunzip2",
    "tbz2": "bunzip2",
    "xz": "unxz",
    "txz": "unxz",
    "zst": "unzstd",
}
"""Suffix to the program that undoes it; all read a file and write it with ``-c``."""

_TAR = re.compile(
    r"(?P<stem>.+?)(?P<dicom>[ _.-]?dicom)?"
    r"\.(?:tar(?:\.(?P<packed>gz|bz2|xz|zst))?|(?P<short>tgz|tbz2?|txz))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A file that is no visit's tarball, and nearly is.

    Attributes
    ----------
    name
        Of the file.
    visit
        What the visit would be called.
    why
        Why it is not taken.
    remedy
        A command that makes it a visit's tarball.
    """

    name: str
    visit: str
    why: str
    remedy: str


def like_project(store: StoreReader, project: str, words: str) -> str:
    """Return which project may have been meant by one that is not there, else `words`."""
    near = near_project(store, project)
    return f"did you mean {near}?" if near else words


def near_names(name: str, others: Iterable[str]) -> list[str]:
    """Return up to three of `others` that `name` may have been meant for."""
    known = list(others)
    same = [other for other in known if _plain(other) == _plain(name)]
    return same or difflib.get_close_matches(name, known, 3)


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


def near_project(store: StoreReader, project: str) -> str | None:
    """Return the project of the store directory that another name may have been for."""
    others = [name for name in store.projects() if name != project]
    near = difflib.get_close_matches(project, others, 3)
    # One without any file may be meant as well: its tarballs are all at the store URL.
    return next((name for name in near if is_project(store, name)), next(iter(near), None))


def check_folder(store: StoreReader, project: str) -> None:
    """Raise unless the store directory has a folder for `project`.

    Raises
    ------
    UsageError
        It has not; names what may have been meant.
    """
    folder = store.project_dir(project)
    if not store.is_folder(folder):
        words = "is the project's name right, and --store-dir, and the store mounted?"
        raise UsageError(f"{folder} is not there", hint=like_project(store, project, words))


def near_misses(store: StoreReader, project: str) -> list[NearMiss]:
    """Return the near misses in the folder of `project`, by name.

    One whose tarball is there by now is none any more.
    """
    folder = store.project_dir(project)
    files = {entry.name for entry in store.listing(folder) if entry.kind == "file"}
    return sorted(_near_misses(str(folder), project, files), key=lambda miss: miss.name)


def _near_misses(folder: str, project: str, files: set[str]) -> Iterable[NearMiss]:
    for name in files:
        found = _TAR.fullmatch(name)
        # What begins with a dot is a copy under way, as rsync makes it. What no terminal
        # shows could not be pasted.
        hidden = name.startswith(".") or not name.isprintable()
        if found is None or hidden or name.endswith(TAR_SUFFIX):
            continue
        stem = re.sub(r"[^\w.-]+", "_", found["stem"], flags=re.ASCII)
        visit = Visit.named(project, stem)
        if visit is None or visit.tarball in files:
            continue
        packed = (found["packed"] or found["short"] or "").lower()
        here, there = (shlex.quote(f"{folder}/{one}") for one in (name, visit.tarball))
        if not packed:
            why, remedy = f"tarballs are called <visit>{TAR_SUFFIX}", f"mv {here} {there}"
        elif name == f"{visit.tarball}.{packed}":
            why, remedy = "it is compressed", f"{_UNPACK[packed]} {here}"
        else:
            why = f"it is compressed, and tarballs are called <visit>{TAR_SUFFIX}"
            remedy = f"{_UNPACK[packed]} -c {here} > {there}"
        yield NearMiss(name, visit.id, why, remedy)
