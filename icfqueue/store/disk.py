"""A disk in trouble: which errors say so, and what they become.

The one place that decides it, for errors that Python raises, for those that a copy of a
tree collects in words, and for those that only a program's last words tell of.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icfqueue.core.errors import DiskTrouble

DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS, errno.ENODEV}
)
"""``OSError.errno`` values that say the disk is in trouble, not the visit."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Those of them that say nothing can be written."""

_REMEDY = "make room or repair the file system; the visit is tried again"
_RACE = "die() called many times"
"""git's only words where several of its threads, or it and its report of a crash, fail at
once, as on a full disk (usage.c: ``die_is_recursing_builtin``)."""

_LITTLE = 1 << 20
"""Bytes of room that count as none."""


@contextmanager
def disk_trouble(doing: str) -> Iterator[None]:
    """Turn an ``OSError`` of a disk in trouble into a transient error.

    Parameters
    ----------
    doing
        What was being done, for the message: ``"writing the metadata"``.

    Raises
    ------
    DiskTrouble
        For the errors in :data:`DISK_ERRORS`; others pass unchanged.
    """
    try:
        yield
    except OSError as error:
        found = as_disk_trouble(error, doing)
        if found is None:
            raise
        raise found from error


def as_disk_trouble(error: OSError, doing: str = "") -> DiskTrouble | None:
    """Return what `error` says of the disk, or None if it says nothing of it.

    Parameters
    ----------
    doing
        What was being done; without it the message begins with the error.
    """
    number = _number_in(error) if isinstance(error, shutil.Error) else error.errno
    if number not in DISK_ERRORS:
        return None
    said, where = os.strerror(number), error.filename
    if doing:
        message = f"{doing}{f' ({where})' if where else ''}: {said}"
    else:
        message = f"{said} ({where or 'in the store directory'})"
    return DiskTrouble(message, hint=_REMEDY, full=number in FULL)


def _number_in(error: shutil.Error) -> int | None:
    """Return the error that a copy of a tree met, which it collects in words."""
    return next((n for n in DISK_ERRORS if os.strerror(n) in str(error)), None)


def of_last_words(message: str, words: str, folder: Path) -> DiskTrouble | None:
    """Return whether a program failed for the disk's sake, by its last words.

    git has many words for a full disk, and not all name the error.

    Parameters
    ----------
    message
        What is known of the failure.
    words
        The end of the program's stderr, in English.
    folder
        Where it wrote.
    """
    named = {number for number in DISK_ERRORS if os.strerror(number) in words}
    full = is_full(folder) or bool(named & FULL)
    if _RACE in words and not named:
        # What it had written is gone by now, and the room is there again.
        reason = "no room is left" if full else "the disk was full, or is faulty"
        return DiskTrouble(f"{reason} ({folder}): git could not write", full=full)
    if full or named:
        return DiskTrouble(message, hint=_REMEDY, full=full)
    return None


def is_full(folder: Path) -> bool:
    """Tell whether a program that failed there may have failed for want of room."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    # Some file systems do not count their inodes and report none at all.
    inodes = found.f_files == 0 or found.f_favail > 0
    read_only = bool(found.f_flag & os.ST_RDONLY)
    return found.f_bavail * found.f_frsize < _LITTLE or not inodes or read_only
