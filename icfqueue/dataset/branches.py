"""What stands in a dataset's two branches, as a stream for ``git fast-import``.

::

    master      .datalad/config, .datalad/.gitattributes, .gitattributes
                icf/<visit>_dicom.tar -> annex key of the tarball
                <member path>         -> annex key of the DICOM file
    git-annex   uuid.log, remote.log: the special remotes `uncurl` and `archivist`
                <hash directory>/<key>.log, .log.web, .log.met, .log.rmt

Sources: https://git-annex.branchable.com/internals/ (branch layout and log formats;
what the page leaves open was read off a branch that git-annex wrote, and is compared
with one in the tests), ``git help fast-import`` (the stream), the files that
``datalad create`` writes, datalad-next's ``ArchivistLocator`` (``dl+archive:`` URLs).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

from icfqueue.core.guard import Guard
from icfqueue.dataset.annex_keys import AnnexKey
from icfqueue.dataset.history import Base, gone_logs
from icfqueue.dataset.member_state import state_log
from icfqueue.tarball.dicom_walk import NAMES

UNCURL = "uncurl"
ARCHIVIST = "archivist"
"""Names of the two special remotes, and of the programs that serve them."""

TAGS = tuple(sorted(NAMES, key=str.lower))
"""What becomes git-annex metadata, in git-annex's order. Field names have no case there;
these are written in lower case, as users type them."""

OWN_FILES = {
    b".datalad/.gitattributes": b"config annex.largefiles=nothing\n",
    b".datalad/config": b'[datalad "dataset"]\n\tid = %s\n',
    b".gitattributes": b"* annex.backend=MD5E\n**/.git* annex.largefiles=nothing\n",
}
"""What ``datalad create`` writes; ``%s`` is the dataset's id."""

COMMITTER = b"icfqueue <icfqueue@localhost>"
"""Who commits: the program, not whoever runs it or where."""

CHUNK = 500
"""Files of a branch between two safe points."""

Fields: TypeAlias = tuple[tuple[str, frozenset[bytes]], ...]
"""git-annex metadata of a key: field names in order, each with its values."""

_FILE = b"100644"
_LINK = b"120000"


@dataclass(frozen=True, slots=True)
class Dicom:
    """A DICOM file: path in tar and dataset, key, size (bytes), metadata fields.

    `offset` is the byte of the tarball at which its content begins; None if unknown.
    """

    path: bytes
    key: AnnexKey
    size: int
    fields: Fields
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a visit's dataset holds.

    Attributes
    ----------
    title
        For the commit message.
    when
        Date of everything, seconds since 1970.
    dataset, uncurl, archivist
        Ids of the dataset and of its two special remotes.
    tarball, tarball_path, tarball_url
        The tarball's key, its path in the dataset, where it is downloaded from.
    base
        The dataset to build upon; `when` is later than its date. None begins anew.
    dicoms
        In tar order; no path twice. Gone through twice, and may be named as they are
        gone through first (:class:`Named`).
    """

    title: str
    when: int
    dataset: UUID
    uncurl: UUID
    archivist: UUID
    tarball: AnnexKey
    tarball_path: bytes
    tarball_url: bytes
    dicoms: Collection[Dicom]
    base: Base | None = None


class Named(Collection[Dicom]):
    """DICOM files that are made when they are first gone through, and then kept.

    So git writes the first links while git-annex still names the other files.

    Parameters
    ----------
    count
        How many there will be.
    source
        Gives them, once.
    """

    def __init__(self, count: int, source: Iterator[Dicom]) -> None:
        self._count = count
        self._source = source
        self._made: list[Dicom] = []

    def __len__(self) -> int:
        return self._count

    def __contains__(self, dicom: object) -> bool:
        return any(dicom == made for made in self)

    def __iter__(self) -> Iterator[Dicom]:
        yield from self._made
        for dicom in self._source:
            self._made.append(dicom)
            yield dicom


def fields(record: dict[str, Any]) -> Fields:
    """Return a DICOM file's tags as git-annex metadata.

    Spaces around a value mean nothing in these tags (DICOM PS3.5, section 6.2: LO, SH, CS,
    IS) and go, as they do in DataLad's `addurls`. Empty values and absent tags are left
    out.
    """
    given = (record.get(tag, "") for tag in TAGS)
    return _fields(tuple(tuple(v) if isinstance(v, list) else (v,) for v in given))


# The files of a series have the same tags: they share one result, in memory too.
@lru_cache(maxsize=4096)
def _fields(given: tuple[tuple[str | int | float, ...], ...]) -> Fields:
    found = []
    for tag, several in zip(TAGS, given, strict=True):
        texts = (str(value).strip() for value in several)
        # A lone surrogate is no text; JSON can hold one, git-annex's output cannot.
        values = frozenset(text.encode("utf-8", "replace") for text in texts if text)
        if values:
            found.append((tag.lower(), values))
    return tuple(found)


def stream(contents: Contents, guard: Guard) -> Iterator[bytes]:
    """Yield the ``git fast-import`` stream of both branches.

    Progress is reported to `guard` as DICOM files are written.
    """
    yield b"feature done\n"
    yield from _master_head(contents)
    for links in _chunks(_links(contents)):
        yield b"".join(links)
        guard.advance(dicoms=len(links))
    for logs in _chunks(_annex(contents)):
        yield b"".join(logs)
        guard.advance()
    yield b"done\n"


def _chunks(parts: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(parts, CHUNK)):
        yield some


def _commit(contents: Contents, branch: bytes) -> bytes:
    message = f"{contents.title}: {len(contents.dicoms)} DICOM files\n".encode()
    parent = b""
    if contents.base is not None:
        before = contents.base.refs[f"refs/heads/{branch.decode()}"].encode()
        parent = b"from %s\ndeleteall\n" % before
    return b"commit refs/heads/%s\ncommitter %s %d +0000\n%s%s" % (
        branch,
        COMMITTER,
        contents.when,
        _data(message),
        parent,
    )


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _entry(mode: bytes, path: bytes, content: bytes) -> bytes:
    return b"M %s inline %s\n%s" % (mode, _quoted(path), _data(content))


def _quoted(path: bytes) -> bytes:
    """Return `path` quoted in the style of C, so that it may hold any byte."""
    for special, escape in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        path = path.replace(special, escape)
    return b'"%s"' % path


def _master_head(contents: Contents) -> Iterator[bytes]:
    yield _commit(contents, b"master")
    dataset = str(contents.dataset).encode()
    for path, content in OWN_FILES.items():
        yield _entry(_FILE, path, content.replace(b"%s", dataset))
    path = contents.tarball_path
    yield _entry(_LINK, path, _target(path, contents.tarball))


def _links(contents: Contents) -> Iterator[bytes]:
    for dicom in contents.dicoms:
        yield _entry(_LINK, dicom.path, _target(dicom.path, dicom.key))


def _target(path: bytes, key: AnnexKey) -> bytes:
    """Return where the link at `path` points: the key's place in the annex."""
    up = b"../" * path.count(b"/")
    return b"%s.git/annex/objects/%s%s/%s" % (up, key.mixed, key.name, key.name)


@dataclass(slots=True)
class _Logs:
    """What the git-annex branch says of a key; two files of equal content share it."""

    key: AnnexKey
    urls: tuple[bytes, ...]
    fields: Fields
    offsets: tuple[int, ...]

    def add(self, url: bytes, fields: Fields, offset: int | None) -> None:
        if offset is not None:
            self.offsets = (*self.offsets, offset)
        self.urls = tuple(sorted({*self.urls, url}))
        union = dict(self.fields)
        for name, values in fields:
            union[name] = union.get(name, frozenset()) | values
        self.fields = tuple(sorted(union.items()))


def _annex(contents: Contents) -> Iterator[bytes]:
    """Yield the git-annex branch.

    It has up to 4,096 folders at its top, and `git fast-import` searches a folder's
    entries one after the other. So the logs are written below a folder for the first
    digit, and the folders are moved to the top once they are full. No object is made of
    what was moved: the trees are written with the commit.
    """
    yield _commit(contents, b"git-annex")
    yield from _remotes(contents)
    yield from _logs(contents)
    places = [contents.tarball.lower, *(dicom.key.lower for dicom in contents.dicoms)]
    if contents.base is not None:
        places += [logs.place for logs in contents.base.logs.values()]
    for top in dict.fromkeys(place.partition(b"/")[0] for place in places):
        yield b"R %s/%s %s\n" % (_digit(top), top, top)


def _digit(lower: bytes) -> bytes:
    """Return the folder below which a hash directory's files are written at first.

    Its name is longer than a hash directory's, so that the two can never be taken for
    each other.
    """
    return b"digit-" + lower[:1]


def _logs(contents: Contents) -> Iterator[bytes]:
    """Yield the entries of all logs; what an old dataset says in the same words stays."""
    base, stamp = contents.base, b"%ds" % contents.when
    for path, content in _logs_anew(contents, stamp):
        said = base.unless_new(path, content, stamp) if base else content
        yield _entry(_FILE, b"%s/%s" % (_digit(path), path), said)


def _logs_anew(contents: Contents, stamp: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and content of all logs, as of the time `stamp`."""
    place = contents.tarball.lower + contents.tarball.name
    yield place + b".log", b"%s 1 %s\n" % (stamp, str(contents.uncurl).encode())
    urls = _urls(contents, contents.tarball, (contents.tarball_url,), stamp)
    yield place + b".log.web", urls
    archivist = str(contents.archivist).encode()
    present = b"%s 1 %s\n" % (stamp, archivist)
    by_key = _by_key(contents)
    for logs in by_key:
        place = logs.key.lower + logs.key.name
        yield place + b".log", present
        yield place + b".log.web", _urls(contents, logs.key, logs.urls, stamp)
        if logs.fields:
            yield place + b".log.met", metadata_log(stamp, logs.fields)
    # Files alike one after the other: git keeps of each what differs from the one before.
    for logs in by_key:
        if logs.offsets:
            place = logs.key.lower + logs.key.name
            yield place + b".log.rmt", state_log(stamp, archivist, logs.offsets)
    if contents.base is not None:
        kept = {contents.tarball.name, *(logs.key.name for logs in by_key)}
        yield from gone_logs(contents.base, kept, stamp)


def _urls(
    contents: Contents, key: AnnexKey, urls: tuple[bytes, ...], stamp: bytes
) -> bytes:
    """Return the content of a ``.log.web`` file; old URLs that are no more are unset.

    The leading colon marks a URL that is not git-annex's own to download.
    """
    now = {b":" + url for url in urls}
    old = contents.base.logs.get(key.name) if contents.base else None
    gone = sorted(old.urls - now) if old else []
    set_now = b"".join(b"%s 1 :%s\n" % (stamp, url) for url in urls)
    return set_now + b"".join(b"%s 0 %s\n" % (stamp, url) for url in gone)


def _by_key(contents: Contents) -> Collection[_Logs]:
    found: dict[bytes, _Logs] = {}
    for dicom in contents.dicoms:
        url = b"dl+archive:%s#path=%s&size=%d" % (
            contents.tarball.name,
            dicom.path,
            dicom.size,
        )
        if logs := found.get(dicom.key.name):
            logs.add(url, dicom.fields, dicom.offset)
        else:
            places = () if dicom.offset is None else (dicom.offset,)
            found[dicom.key.name] = _Logs(dicom.key, (url,), dicom.fields, places)
    return found.values()


def _remotes(contents: Contents) -> Iterator[bytes]:
    """Yield ``uuid.log`` and ``remote.log``: lines by UUID, settings by name."""
    remotes = sorted(
        (str(uuid), name)
        for uuid, name in ((contents.uncurl, UNCURL), (contents.archivist, ARCHIVIST))
    )
    uuids = "".join(f"{uuid} {name} timestamp={contents.when}s\n" for uuid, name in remotes)
    settings = "".join(
        f"{uuid} autoenable=true encryption=none externaltype={name} name={name} "
        f"type=external timestamp={contents.when}s\n"
        for uuid, name in remotes
    )
    yield _entry(_FILE, b"uuid.log", uuids.encode())
    yield _entry(_FILE, b"remote.log", settings.encode())


@lru_cache(maxsize=4096)
def metadata_log(stamp: bytes, fields: Fields) -> bytes:
    """Return the content of a ``.log.met`` file.

    A value that holds a space or a line end, or starts with ``!``, is written in base64
    after a ``!``.
    """
    words = [stamp]
    for name, values in fields:
        words.append(name.encode())
        words += [b"+" + _metadata_value(value) for value in sorted(values)]
    return b" ".join(words) + b"\n"


def _metadata_value(value: bytes) -> bytes:
    if value.startswith(b"!") or re.search(rb"[ \r\n]", value):
        return b"!" + base64.b64encode(value)
    return value
