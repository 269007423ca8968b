"""Step ``index_tar``: read a tarball once and note what is in it.

::

    tarball ──> TarStream ──> per member: path check, MD5, six tags ──> dicoms.json
                   └──> MD5 of the whole (second thread) ─────────────> index.json

Both files lie in the visit's work folder. ``dicoms.json`` already has the layout of the
published ``…_metadata_dicoms.json``. ``index.json`` appears last: where it is, both are
whole and belong to the tarball whose fingerprint it carries.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icfqueue.core.errors import BadTarball, NotInStore, PermanentError, TarballChanged
from icfqueue.core.guard import UNWATCHED, Watch
from icfqueue.core.visit import Visit
from icfqueue.outputs.tarball_index import (
    DICOMS,
    INDEX,
    Index,
    Listing,
    Tarball,
    TarballTouched,
    dicoms_path,
    dump,
    index_path,
    read,
    touched,
)
from icfqueue.steps import write_json
from icfqueue.steps.job import Job, Outcome
from icfqueue.store.directory import Fingerprint, disk_trouble
from icfqueue.tarball.dicom_tags import HEAD_ENOUGH, HEAD_LIMIT, NeedMore, TagReader
from icfqueue.tarball.header import FILE, LATEST, Member
from icfqueue.tarball.member_paths import Paths
from icfqueue.tarball.stream import SMALL, TarStream

if TYPE_CHECKING:
    from typing import BinaryIO

    from icfqueue.tarball.stream import Source

__all__ = [
    "DICOMS",
    "INDEX",
    "Index",
    "Tarball",
    "TarballTouched",
    "dicoms_path",
    "index_path",
    "index_stream",
    "md5_of",
    "newest",
    "read",
    "run",
]

_CHUNK: Final = 4 << 20
_LINES: Final = 1000
"""DICOM files between two safe points, where a tarball's files are tiny."""


def run(job: Job) -> Outcome:
    """Index the visit's tarball, unless that was done.

    Returns
    -------
    Outcome
        With size and MD5 of the tarball and the number of DICOM files.

    Raises
    ------
    BadTarball
        It cannot become a dataset.
    TarballChanged
        It is not the one that the published metadata were made from.
    NotInStore
        It is not there.
    TransientError
        It changed meanwhile, or the disk is in trouble.
    """
    with disk_trouble(f"indexing {job.visit.tarball}"), _readable(job.visit):
        tarball = job.store.path(job.visit, job.visit.tarball)
        now = Fingerprint.of(tarball)
        if now is None:
            raise NotInStore(
                f"{job.visit.storepath} is not in the store directory",
                hint="enqueue the visit again: the step `fetch` obtains the tarball",
            )
        done = None if job.options.force else _published(job, tarball, now)
        if done:
            return done
        known = read(job.store, job.visit)
        if known and known.fingerprint == now and _listed(job, known):
            return _outcome(known.tarball, worked=False)
        return _outcome(_index(job, tarball, now), worked=True)


@contextmanager
def _readable(visit: Visit) -> Iterator[None]:
    """Turn what the system says of a tarball that cannot be opened into a step's error."""
    try:
        yield
    except (PermissionError, IsADirectoryError) as error:
        raise PermanentError(
            f"{visit.storepath} cannot be indexed: {error.strerror} ({error.filename})",
            hint="it must be a file that the workers may read, in a folder in which they "
            "may write",
        ) from error
    except FileNotFoundError as error:
        raise touched(visit) from error


def _outcome(tarball: Tarball, *, worked: bool) -> Outcome:
    return Outcome(
        worked, tar_bytes=tarball.size, tar_md5=tarball.md5, dicoms=tarball.dicoms
    )


def _published(job: Job, tarball: Path, now: Fingerprint) -> Outcome | None:
    """Return the outcome if metadata of this very tarball are published already."""
    store, visit = job.store, job.visit
    told = write_json.read_tarball(store, visit)
    if told is None or not store.path(visit, visit.metadata_dicoms).exists():
        return None
    if told.size != now.size:
        raise _changed(visit, f"{told.size} bytes", f"{now.size} bytes")
    note = store.path(visit, visit.metadata_tarball)
    if now.ctime_ns >= note.stat().st_mtime_ns:
        md5 = md5_of(tarball, job.watch)
        if md5 != told.md5:
            raise _changed(visit, f"MD5 {told.md5}", f"MD5 {md5}")
        # Newer than the tarball: next time its MD5 need not be computed. Looked at
        # afterwards: what changes the tarball from now on makes it the newer one.
        job.watch.before_publish(note.name)
        os.utime(note)
        if Fingerprint.of(tarball) != now:
            os.utime(note, ns=(0, 0))
            raise touched(visit)
    dicoms = len(write_json.read_dicoms(store, visit))
    return Outcome(False, tar_bytes=told.size, tar_md5=told.md5, dicoms=dicoms)


def _changed(visit: Visit, recorded: str, found: str) -> TarballChanged:
    return TarballChanged(
        f"{visit.storepath} is not the tarball that the metadata of visit {visit} were "
        f"made from: recorded {recorded}, found {found}",
        hint="put the old tarball back, or use --force to make every output anew",
    )


def _listed(job: Job, known: Index) -> bool:
    """Tell whether the list that `known` speaks of is there, published or not yet."""
    store, visit = job.store, job.visit
    published = store.path(visit, visit.metadata_dicoms)
    return known.listing in (Listing.of(dicoms_path(store, visit)), Listing.of(published))


def _index(job: Job, tarball: Path, before: Fingerprint) -> Tarball:
    """Read the tarball and leave both files in the work folder."""
    store, visit, watch = job.store, job.visit, job.watch
    with store.scratch(visit, watch) as scratch:
        # Without the note, what lies there counts for nothing.
        store.withdraw(visit, index_path(store, visit), watch)
        listing, note = scratch / DICOMS, scratch / INDEX
        with open(tarball, "rb", buffering=0) as source, listing.open("wb") as out:
            with suppress(OSError, AttributeError):
                os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            counted = _Counting(out)
            found = index_stream(
                source, counted, watch, name=visit.tarball, dspath=visit.dspath
            )
        if Fingerprint.of(tarball) != before:
            raise touched(visit)
        index = Index(found, before, Listing(counted.size, counted.md5.hexdigest()))
        note.write_text(dump(index) + "\n")
        store.publish(listing, dicoms_path(store, visit), watch)
        store.publish(note, index_path(store, visit), watch)
    return found


def index_stream(
    stream: Source,
    dicoms_out: BinaryIO | _Counting,
    watch: Watch = UNWATCHED,
    *,
    name: str = "the tarball",
    dspath: str = "icf/_dicom.tar",
) -> Tarball:
    """Read a tar forwards, once; write the list of its DICOM files.

    Parameters
    ----------
    stream
        The bytes of the tar: a file, a pipe, a response. Only read, never sought.
    dicoms_out
        Gets the JSON array, one DICOM file per line, in tar order, as it goes.
    watch
        Told of every few megabytes.
    name
        What messages call the tar.
    dspath
        Where the tarball will lie in the dataset.

    Returns
    -------
    Tarball
        Size, MD5, number of DICOM files and newest time.

    Raises
    ------
    BadTarball
        It cannot become a dataset; the message names the member.
    """
    paths, reader = Paths(dspath, tar=name), TagReader()
    lines: list[str] = []
    dicoms = told = 0
    newest = 0.0
    before = "[\n"
    with TarStream(stream, _telling(watch), name=name) as tar:
        for member in tar.members():
            newest = max(newest, member.mtime)
            paths.check(member)
            md5, tags = _look(tar, member, reader) if member.kind == FILE else ("", None)
            if tags is None:
                paths.pass_over(member.name)
                continue
            paths.add(member.name)
            lines.append(
                f'{before}{{"path": {quoted(member.name)}, "md5": "{md5}", '
                f'"size": {member.size}, {tags}'
            )
            before = ",\n"
            dicoms += 1
            if dicoms - told >= _LINES:
                dicoms_out.write("".join(lines).encode())
                lines.clear()
                watch.advance(dicoms=dicoms - told)
                told = dicoms
    if not dicoms:
        raise BadTarball(
            f"{name} has no DICOM file", hint="look at its members with `tar -tvf`"
        )
    lines.append("\n]\n")
    dicoms_out.write("".join(lines).encode())
    watch.advance(dicoms=dicoms - told)
    return Tarball(tar.size, tar.md5, dicoms, _second(newest))


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


class _Counting:
    """Writes on, and knows size and MD5 of what was written."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0
        self.md5 = _md5()

    def write(self, content: bytes) -> int:
        self.size += len(content)
        self.md5.update(content)
        return self._out.write(content)


def md5_of(path: Path, watch: Watch = UNWATCHED) -> str:
    """Return the MD5 (hex) of the file at `path`, telling `watch` how it goes on."""
    md5, buffer = _md5(), bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            md5.update(view[:count])
            watch.advance(bytes=count)
    return str(md5.hexdigest())


def newest(job: Job) -> int:
    """Return the newest member time of the visit's tarball, in whole seconds.

    From ``index.json`` if it belongs to the tarball; else (the metadata were there
    already, so nothing was indexed) by a pass over the tarball.
    """
    tarball = job.store.path(job.visit, job.visit.tarball)
    known = read(job.store, job.visit)
    if known and known.fingerprint == Fingerprint.of(tarball):
        return known.tarball.newest
    with (
        _readable(job.visit),
        open(tarball, "rb", buffering=0) as source,
        TarStream(source, _telling(job.watch), name=job.visit.tarball) as tar,
    ):
        return _second(max((member.mtime for member in tar.members()), default=0))


def _telling(watch: Watch) -> Callable[[int], None]:
    return lambda count: watch.advance(bytes=count)


def _second(time: float) -> int:
    """Return `time` in whole seconds; a member may claim any, Git takes only some."""
    return min(max(math.floor(time), 0), LATEST)
