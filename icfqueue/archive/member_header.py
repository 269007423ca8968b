"""The header of a member: the same bytes for the same name, size and time.

``ustar``; a pax header before it only where that cannot say something: a name of more
than 100 bytes or with other letters than ASCII, 8 GiB or more, a time after the year 2242.
"""

from __future__ import annotations

import tarfile
from typing import Final

from icfqueue.tarball.header import BLOCK

_MODE = 0o644
_OWNER = "root"
_LONGEST_NAME = 100
_TOO_MUCH = 8**11
"""First number that a field of 11 octal digits cannot hold."""


def _by_tarfile(name: str, size: int, time: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = _MODE, size, time
    info.uname = info.gname = _OWNER
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


# What stands between name and size, and after the checksum, in every plain header.
_MODEL: Final = _by_tarfile("", 0, 0)
_OWNERSHIP: Final = _MODEL[100:124]
_REST: Final = _MODEL[156:]
_SUM: Final = sum(_OWNERSHIP) + sum(_REST) + 8 * ord(" ")


def member_header(name: str, size: int, time: int) -> bytes:
    """Return the header, one or more blocks, of a file owned by root with mode 0644.

    Parameters
    ----------
    name
        Path; bytes that are not UTF-8 as surrogates.
    size
        Bytes of its content.
    time
        Seconds since 1970.
    """
    if (
        len(name) > _LONGEST_NAME
        or not name.isascii()
        or size >= _TOO_MUCH
        or not 0 <= time < _TOO_MUCH
    ):
        return _by_tarfile(name, size, time)
    path = name.encode("ascii")
    numbers = b"%011o\0%011o\0" % (size, time)
    checksum = b"%06o\0 " % (_SUM + sum(path) + sum(numbers))
    return path.ljust(100, b"\0") + _OWNERSHIP + numbers + checksum + _REST


def blocks(size: int) -> int:
    """Return the bytes that a content of `size` bytes takes, padded."""
    return -(-size // BLOCK) * BLOCK
