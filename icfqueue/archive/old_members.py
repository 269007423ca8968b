"""What a tarball holds, for whom wants to pack it again.

:class:`~icfqueue.tarball.stream.TarStream` reads all of it first: what is cut or damaged is
not packed again. Then ``tarfile`` finds the contents, those of links and of sparse files
as well.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from icfqueue.archive.renames import Content
from icfqueue.core.errors import BadTarball
from icfqueue.tarball.dicom_study import StudyReader
from icfqueue.tarball.dicom_tags import HEAD_ENOUGH, HEAD_LIMIT
from icfqueue.tarball.dicom_walk import NeedMore
from icfqueue.tarball.header import CONTINUED, SPARSE, shown
from icfqueue.tarball.stream import TarStream

_OPENERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_MOST_LINKS = 40
"""Links after one another that are followed, as Linux does (path_resolution(7))."""

_CHUNK = 1 << 20


class Old(NamedTuple):
    """A member of the old tarball."""

    name: str
    content: tarfile.TarInfo | None
    """The member that has its content; None if its link leads nowhere."""
    linked: bool
    """Whether it is a link."""


@contextmanager
def plain(source: FileIO, scratch: Path, *, name: str) -> Iterator[tuple[IO[bytes], bool]]:
    """Yield the tarball as a plain tar, and whether it was compressed.

    Parameters
    ----------
    scratch
        Where a compressed one is unpacked.
    name
        What messages call it.

    Raises
    ------
    BadTarball
        It is damaged.
    """
    head = source.read(6) or b""
    source.seek(0)
    opener = next((one for magic, one in _OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        yield source, False
        return
    unpacked = scratch / "unpacked"
    try:
        with opener(source, "rb") as packed, unpacked.open("xb") as out:
            shutil.copyfileobj(packed, out, _CHUNK)
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        # What the disk says has a number; gzip and bz2 raise the same class without one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadTarball(f"{name} is compressed, and damaged: {error}") from error
    with unpacked.open("rb", buffering=0) as tar:
        yield tar, True


def read(tar: IO[bytes], *, name: str) -> tuple[tarfile.TarFile, list[Old], str]:
    """Return the open tar, its members with a content, and its MD5 in hex.

    Raises
    ------
    BadTarball
        It is cut, damaged, or not all of it is here.
    """
    names = []
    with TarStream(tar, lambda _: None, name=name) as stream:
        for member in stream.members():
            if member.kind == CONTINUED:
                raise BadTarball(
                    f"{name}: member {shown(member.name)} is a {member.kind}",
                    hint="pack again without --multi-volume",
                    cause="bad-name",
                )
            # tarfile calls a sparse one by its own name.
            names.append("" if member.kind == SPARSE else member.name)
    tar.seek(0)
    opened = tarfile.open(fileobj=tar, mode="r:", encoding="utf-8")  # noqa: SIM115 - closed by whoever has it
    infos = opened.getmembers()
    if ["" if info.issparse() else info.name for info in infos] != names:
        opened.close()
        raise BadTarball(f"{name}: its members are not read alike by Python's tarfile")
    at: dict[str, list[int]] = {}
    for number, info in enumerate(infos):
        at.setdefault(info.name, []).append(number)
    olds = []
    for number, info in enumerate(infos):
        linked = info.islnk() or info.issym()
        if linked or info.isfile():
            olds.append(Old(info.name, _content(infos, at, number), linked))
    return opened, olds, stream.md5


def _content(
    infos: list[tarfile.TarInfo], at: dict[str, list[int]], number: int
) -> tarfile.TarInfo | None:
    """Return the member that has the content of the one at `number`, following links."""
    for _ in range(_MOST_LINKS):
        info = infos[number]
        if info.isfile():
            return info
        if info.issym():
            target = posixpath.join(posixpath.dirname(info.name), info.linkname)
        elif info.islnk():
            target = info.linkname
        else:
            return None
        short = posixpath.normpath(target)
        found = sorted(
            place
            for name in {target, short, f"./{short}"}
            for place in at.get(name, ())
            # A hard link is to what was unpacked before it.
            if info.issym() or place < number
        )
        if not found:
            return None
        number = found[-1]
    return None


class Contents:
    """Looks into the contents of a tar's members.

    Parameters
    ----------
    tar
        As :func:`read` gave it.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._reader = StudyReader()

    def open(self, info: tarfile.TarInfo) -> BufferedReader:
        """Return the content of a member that is a file."""
        opened = self._tar.extractfile(info)
        if not isinstance(opened, BufferedReader):
            raise TypeError(info)
        return opened

    def look(self, name: str, info: tarfile.TarInfo, *, hashed: bool) -> Content:
        """Return what decides about the name of a member.

        Parameters
        ----------
        info
            The member that has its content.
        hashed
            Whether the MD5 is needed.
        """
        md5 = ""
        if hashed:
            with self.open(info) as content:
                md5 = hashlib.file_digest(content, "md5").hexdigest()
        return Content(name, self._is_dicom(info), info.size, md5)

    def _is_dicom(self, info: tarfile.TarInfo) -> bool:
        with self.open(info) as content:
            head = content.read(HEAD_ENOUGH)
            try:
                whole = info.size <= HEAD_ENOUGH
                return self._reader.read(head, whole=whole) is not None
            except NeedMore:
                head += content.read(HEAD_LIMIT - len(head))
                return self._reader.read(head, whole=True) is not None
