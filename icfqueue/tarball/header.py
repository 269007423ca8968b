"""What the headers of a tar say of a member.

Formats: POSIX.1-2017, ``pax``, "ustar Interchange Format" and "pax Header Block"; the
GNU tar manual, "Basic Tar Format". The answers are those of Python's :mod:`tarfile`,
because ``tarfile`` takes the member out again on ``datalad get``; where ``tarfile``
guesses or stops in silence, these functions raise :class:`Damaged`.
"""

from __future__ import annotations

import math
import zlib
from typing import Final, NamedTuple

BLOCK: Final = 512
"""Bytes of a header; contents are padded to a multiple of it."""

LONGEST_SHOWN: Final = 200
"""Letters of a path in a message."""

LATEST: Final = 253_402_300_799
"""Latest time that a member may claim: the last second of the year 9999."""

FILE: Final = "file"
HARD_LINK: Final = "hard link"
SYMBOLIC_LINK: Final = "symbolic link"
SPARSE: Final = "sparse file"
CONTINUED: Final = "file continued from another volume"
OTHER: Final = "folder, device or pipe"

LONG_NAME, LONG_LINK, GLOBAL = ord("L"), ord("K"), ord("g")
PAX = frozenset(b"xX")  # 'X' is what Solaris wrote before POSIX chose 'x'
EXTENDED = PAX | {LONG_NAME, LONG_LINK, GLOBAL}
"""Types of the headers that speak of the member after them."""

_FOLDER = ord("5")
_BEFORE_POSIX = 0
_KINDS = {
    ord("0"): FILE,
    _BEFORE_POSIX: FILE,
    ord("7"): FILE,  # contiguous
    ord("1"): HARD_LINK,
    ord("2"): SYMBOLIC_LINK,
    ord("S"): SPARSE,
    ord("M"): CONTINUED,
}
_DATALESS = frozenset(b"123456")
_NO_PREFIX = frozenset(b"LKS")

_PREFIX_AT = 345
_POSITIVE, _NEGATIVE = 0x80, 0xFF
_HIGHEST_ASCII = 127


class Damaged(Exception):
    """A header says what cannot be; the text says what, the stream adds where."""


class Member(NamedTuple):
    """One member: what ``tarfile.TarInfo`` says of it."""

    name: str
    """Path; bytes that are not UTF-8 as surrogates."""
    size: int
    """Bytes of its content."""
    mtime: float
    """Seconds since 1970."""
    kind: str
    """One of the kinds above."""
    offset: int
    """Byte of the tar at which its first header begins."""
    padded: int
    """Bytes from its content to the next header."""


def intact(block: bytes) -> bool:
    """Tell whether a header's checksum is right: the sum of its bytes, own as spaces."""
    own = block[148:156]
    try:
        told = int(own.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        return False
    if block.isascii():
        # The low half of Adler-32 is 1 plus the sum of the bytes modulo 65521; 512 ASCII
        # bytes sum up to less. (A sum in Python takes ten times as long.)
        return (zlib.adler32(block) & 0xFFFF) - 1 - sum(own) + 256 == told
    rest = block[:148] + block[156:]
    unsigned = sum(rest) + 256
    # Some old tars summed signed bytes.
    return told in (unsigned, unsigned - 256 * sum(byte > _HIGHEST_ASCII for byte in rest))


def number(field: bytes, what: str) -> int:
    """Return the number in `field`: octal digits, or binary as GNU tar has it.

    Raises
    ------
    Damaged
        It is none.
    """
    if field[0] in (_POSITIVE, _NEGATIVE):
        value = int.from_bytes(field[1:], "big")
        return value - (256 ** (len(field) - 1) if field[0] == _NEGATIVE else 0)
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        raise Damaged(f"the {what} is no number") from None


def text(raw: bytes) -> str:
    """Return a name as ``tarfile`` has it: up to the first NUL, in UTF-8."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def records(content: bytes) -> dict[str, str]:
    r"""Return what a pax header says: lines of ``<length> <key>=<value>\n``.

    Raises
    ------
    Damaged
        It cannot be read.
    """
    said: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at]:
        space = content.find(b" ", at, at + 20)
        digits = content[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not equals or end <= space or content[end - 1 : end] != b"\n":
            raise Damaged("an extended header cannot be read")
        said[key.decode("utf-8", "surrogateescape")] = value.decode(
            "utf-8", "surrogateescape"
        )
        at = end
    if "path" in said:
        said["path"] = said["path"].rstrip("/")
    return said


def member(block: bytes, said: dict[str, str], name: str | None, offset: int) -> Member:
    """Return the member of the header `block`.

    Parameters
    ----------
    block
        The header, :data:`BLOCK` bytes.
    said
        What pax headers say of it.
    name
        What a GNU long name header calls it, if there was one before the pax headers.
    offset
        For :attr:`Member.offset`.

    Raises
    ------
    Damaged
        A number is none, or the size is negative.
    """
    form = block[156]
    kind = _KINDS.get(form, OTHER)
    path = name if name is not None else said.get("path")
    if path is None:
        path = text(block[:100])
        if block[_PREFIX_AT] and form not in _NO_PREFIX:
            path = f"{text(block[_PREFIX_AT:500])}/{path}"
    size = _whole(said["size"]) if "size" in said else number(block[124:136], "size")
    told = said.get("mtime")
    mtime = _seconds(told) if told is not None else number(block[136:148], "time")
    if size < 0:
        raise Damaged("the size is negative")
    if any(key.startswith("GNU.sparse.") for key in said):
        kind = SPARSE
    dataless = form in _DATALESS
    if form == _FOLDER:
        path = path.rstrip("/")
    elif form == _BEFORE_POSIX and text(block[:100]).endswith("/"):
        # Before POSIX a folder was a file with a slash at its end.
        path, kind, dataless = path.rstrip("/"), OTHER, True
    padded = 0 if dataless else -(-size // BLOCK) * BLOCK
    return Member(path, size, mtime, kind, offset, padded)


def shown(path: str) -> str:
    """Return `path` quoted for a message: control characters visible, not too long."""
    if len(path) > LONGEST_SHOWN:
        path = f"{path[: LONGEST_SHOWN // 2]}…{path[-LONGEST_SHOWN // 3 :]}"
    return repr(path)


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        return 0


def _seconds(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        return 0
    return found if math.isfinite(found) else 0
