"""What ``stat`` tells of a file, and its MD5: whether it is still the one that was read."""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from typing import Final, NamedTuple

from icfqueue.core.guard import UNGUARDED, Guard

_CHUNK: Final = 4 << 20


class Fingerprint(NamedTuple):
    """A file as ``stat`` describes it, without reading it; compared for equality alone.

    Two equal fingerprints mean the same bytes: ``ctime_ns`` cannot be set by a copy or
    by ``touch``, so a replaced tarball of the same size and age still differs. None of
    the times says which of two files is the newer one: clocks differ, and times can be
    set. The number of the device is left out: it is each machine's own for a network file
    system, whose inodes and times are the server's.

    Attributes
    ----------
    inode
        Number of the file in its file system.
    size
        Bytes.
    mtime_ns, ctime_ns
        Nanoseconds since 1970 of the last change of the content, and of anything.
    """

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result | None) -> Fingerprint | None:
        """Return the fingerprint of a file of which `found` is known, None without one."""
        if found is None:
            return None
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def same_but_renamed(self, other: Fingerprint) -> bool:
        """Return whether `other` is this file under another name.

        A new name is a change of the file for most file systems: ``ctime_ns`` differs.
        """
        return self[:3] == other[:3]


def md5_of(file: FileIO, guard: Guard = UNGUARDED) -> str:
    """Return the MD5 (hex) of an open file, telling `guard` how it goes on.

    Parameters
    ----------
    file
        At its beginning.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        md5.update(view[:count])
        guard.advance(bytes=count)
    return md5.hexdigest()
