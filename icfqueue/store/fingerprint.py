"""What ``stat`` tells of a file, and its MD5: whether it is still the one that was read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icfqueue.core.guard import UNGUARDED, Guard

_CHUNK: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file as ``stat`` describes it, without reading it.

    Two equal fingerprints mean the same bytes: ``ctime_ns`` cannot be set by a copy or
    by ``touch``, so a replaced tarball of the same size and age still differs.
    """

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Fingerprint | None:
        """Return the fingerprint of the file at `path`, or None if there is none."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def md5_of(path: Path, guard: Guard = UNGUARDED) -> str:
    """Return the MD5 (hex) of the file at `path`, telling `guard` how it goes on."""
    md5 = hashlib.md5(usedforsecurity=False)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            md5.update(view[:count])
            guard.advance(bytes=count)
    return md5.hexdigest()
