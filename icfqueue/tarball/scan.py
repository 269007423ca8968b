"""One pass over a tarball: its members, their MD5 and tags, and the MD5 of the whole."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final

from icfqueue.core.errors import BadTarball
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.tarball.dicom_tags import HEAD_ENOUGH, HEAD_LIMIT, NeedMore, TagReader
from icfqueue.tarball.header import FILE, LATEST, Member
from icfqueue.tarball.identifiers.watch import Watch
from icfqueue.tarball.member_paths import Paths
from icfqueue.tarball.remedies import LOOK_INSIDE
from icfqueue.tarball.stream import SMALL, TarStream

if TYPE_CHECKING:
    from typing import BinaryIO

    from icfqueue.tarball.stream import ByteStream


@dataclass(frozen=True, slots=True)
class Tarball:
    """The result of a pass over a tarball.

    Attributes
    ----------
    size
        In bytes.
    md5
        Of the whole file, in hex.
    dicoms
        Number of DICOM files.
    newest
        Latest modification time of a member, in whole seconds since 1970.
    """

    size: int
    md5: str
    dicoms: int
    newest: int


_LINES: Final = 1000
"""DICOM files between two safe points, where a tarball's files are tiny."""


def index_stream(
    stream: ByteStream,
    dicoms_out: BinaryIO | Counted,
    guard: Guard = UNGUARDED,
    *,
    name: str = "the tarball",
    dspath: str = "icf/_dicom.tar",
    places: list[int] | None = None,
    whole: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Tarball:
    """Read a tar forwards, once; write the list of its DICOM files.

    Parameters
    ----------
    stream
        The bytes of the tar: a file, a pipe, a response. Only read, never sought.
    dicoms_out
        Gets the JSON array, one DICOM file per line, in tar order, as it goes.
    guard
        Told of every few megabytes.
    name
        What messages call the tar.
    dspath
        Where the tarball will lie in the dataset.
    places
        Gets, for each DICOM file, the byte of the tar at which its content begins.
    whole
        Called with the MD5 of the whole (hex), also of a tar that cannot become a
        dataset, which is read to its end for it. What it raises is raised instead.
    watch
        Sees who the images are of, and looks for that among their paths and tags.

    Returns
    -------
    Tarball
        Size, MD5, number of DICOM files and newest time.

    Raises
    ------
    BadTarball
        It cannot become a dataset; the message names the member.
    """
    paths, reader = Paths(dspath, tar=name), TagReader(watch.values if watch else None)
    with TarStream(stream, _telling(guard), name=name) as tar:
        try:
            listed = _list(tar, paths, reader, dicoms_out, guard, places=places)
        except BadTarball:
            if whole is not None:
                tar.take_rest()
                whole(tar.md5)
            raise
    if whole is not None:
        whole(tar.md5)
    if watch:
        watch.look(paths.dicoms(), guard)
    return Tarball(tar.size, tar.md5, *listed)


def _list(
    tar: TarStream,
    paths: Paths,
    reader: TagReader,
    dicoms_out: BinaryIO | Counted,
    guard: Guard,
    *,
    places: list[int] | None,
) -> tuple[int, int]:
    """Write the list of DICOM files; return their number and the newest time."""
    lines: list[str] = []
    dicoms = told = 0
    newest = 0.0
    before = "[\n"
    for member in tar.members():
        newest = max(newest, member.mtime)
        paths.check(member)
        place = tar.position
        md5, tags = _look(tar, member, reader) if member.kind == FILE else ("", None)
        if tags is None:
            paths.pass_over(member.name)
            continue
        paths.add(member.name)
        if places is not None:
            places.append(place)
        lines.append(
            f'{before}{{"path": {quoted(member.name)}, "md5": "{md5}", '
            f'"size": {member.size}, {tags}'
        )
        before = ",\n"
        dicoms += 1
        if dicoms - told >= _LINES:
            dicoms_out.write("".join(lines).encode())
            lines.clear()
            guard.advance(dicoms=dicoms - told)
            told = dicoms
    if not dicoms:
        raise BadTarball(
            f"{tar.name} has no DICOM file",
            hint=LOOK_INSIDE,
            cause="no-dicom",
        )
    lines.append("\n]\n")
    dicoms_out.write("".join(lines).encode())
    guard.advance(dicoms=dicoms - told)
    return dicoms, _second(newest)


def _look(tar: TarStream, member: Member, reader: TagReader) -> tuple[str, str | None]:
    """Return MD5 (hex) and tags (see :meth:`TagReader.read`) of one member."""
    size = member.size
    if size <= SMALL:
        content = tar.head(size)
        return _md5(content).hexdigest(), reader.read(content)
    seen: Any = tar.head(HEAD_ENOUGH)
    tags, wanting = None, False
    try:
        tags = reader.read(seen, whole=False)
    except NeedMore:
        wanting = True
        seen = bytearray()
    md5 = _md5()
    left = size
    for piece in tar.pieces():
        content = piece[:left]
        md5.update(content)
        left -= len(content)
        if wanting:
            seen += content[: HEAD_LIMIT - len(seen)]
            if len(seen) == HEAD_LIMIT or not left:
                tags = reader.read(bytes(seen))
                wanting, seen = False, b""
    return md5.hexdigest(), tags


def _md5(content: bytes | memoryview = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


class Counted:
    """Writes on, and knows size (bytes) and MD5 of what was written."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0
        self.md5 = _md5()

    def write(self, content: bytes) -> int:
        """Write `content`; return how much of it was written."""
        self.size += len(content)
        self.md5.update(content)
        return self._out.write(content)


def newest_member(stream: ByteStream, guard: Guard = UNGUARDED, *, name: str) -> int:
    """Return the newest member time of a tar, in whole seconds since 1970.

    Raises
    ------
    BadTarball
        It is no tar, or damaged.
    """
    with TarStream(stream, _telling(guard), name=name) as tar:
        return _second(max((member.mtime for member in tar.members()), default=0))


def member_offsets(
    stream: ByteStream, guard: Guard = UNGUARDED, *, name: str
) -> dict[str, int]:
    """Return the byte of a tar at which the content of each of its files begins, by path.

    Raises
    ------
    BadTarball
        It is no tar, or damaged.
    """
    with TarStream(stream, _telling(guard), name=name) as tar:
        return {
            member.name: tar.position for member in tar.members() if member.kind == FILE
        }


def _telling(guard: Guard) -> Callable[[int], None]:
    return lambda count: guard.advance(bytes=count)


def _second(time: float) -> int:
    """Return `time` in whole seconds; a member may claim any, Git takes only some."""
    return min(max(math.floor(time), 0), LATEST)
