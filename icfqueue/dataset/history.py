"""The dataset that is deposited now, as the base of the next one.

A deposit that changes gets a commit on top of the old ones, on both branches, so that
``datalad update`` in a clone goes forward and old commits still check out. On the
git-annex branch the newest line of each kind counts, so what is gone is unset by a newer
line instead of being left out: clones merge the branch line by line. It stays unset in
all later ones, for a clone may skip some. What says the same as before keeps its time, and
so needs no room.

Source: https://git-annex.branchable.com/internals/ (location log, ``.log.web``, union
merge of the git-annex branch).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icfqueue.core.guard import Guard
from icfqueue.dataset import programs
from icfqueue.dataset.member_state import decode_state
from icfqueue.outputs.deposit import HEAD
from icfqueue.outputs.references import Place

ANNEX = "refs/heads/git-annex"

_MD5E = re.compile(rb"MD5E?-s(\d+)--([0-9a-f]{32})", re.ASCII)

_TIME = re.compile(rb"^\d+s(?= )", re.MULTILINE | re.ASCII)

_ENDINGS = (b".log", b".log.web", b".log.met", b".log.rmt")

_OF_THE_BRANCH = (b"uuid.log", b"remote.log")


@dataclass(frozen=True, slots=True)
class KeyLogs:
    """The lines of one key on the old git-annex branch.

    Attributes
    ----------
    place
        Where they lie: hash directories and key, without an ending.
    urls
        URLs that were ever set, as they stand in ``.log.web`` (with their leading colon).
    remotes
        UUIDs of the remotes that were ever said to have it.
    offsets
        Where in the tarball its content begins, in bytes.
    """

    place: bytes
    urls: frozenset[bytes] = frozenset()
    remotes: frozenset[bytes] = frozenset()
    offsets: tuple[int, ...] = ()

    @property
    def key(self) -> bytes:
        """Name of the annex key."""
        return self.place.rpartition(b"/")[2]


@dataclass(frozen=True, slots=True)
class Base:
    """An old dataset in a bare repository, to be built upon.

    Attributes
    ----------
    refs
        Its commits, by ref.
    tarball_md5
        Of the tarball that it was made from, in hex.
    when
        Date of its newest commit, seconds since 1970.
    logs
        What its git-annex branch says, by key.
    files
        The files of that branch that say it, by path.
    """

    refs: Mapping[str, str]
    tarball_md5: str
    when: int
    logs: Mapping[bytes, KeyLogs] = field(default_factory=dict)
    files: Mapping[bytes, bytes] = field(default_factory=dict)

    def unless_new(self, path: bytes, content: bytes, stamp: bytes) -> bytes:
        """Return the old content of a log if it says the same at another time.

        Parameters
        ----------
        content
            The new one, all of whose lines have the time `stamp`.
        """
        old = self.files.get(path, b"")
        return old if _TIME.sub(stamp, old) == content else content


def read_base(repo: Path, refs: Mapping[str, str], tarball_md5: str, guard: Guard) -> Base:
    """Return the old dataset whose objects are in the bare repository `repo`.

    Raises
    ------
    ToolFailed
        Its objects are damaged or missing.
    ValueError
        Its git-annex branch is not one of ours.
    """
    if ANNEX not in refs:
        raise ValueError("there is no git-annex branch")
    newest = _newest(repo, [refs[ref] for ref in (HEAD, ANNEX)], guard)
    files = _read_files(repo, refs[ANNEX], guard)
    return Base(refs, tarball_md5, newest, _read_logs(files), files)


def gone_logs(
    base: Base, kept: Collection[bytes], stamp: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Yield what unsets the keys of the old dataset that the new one does not have.

    Parameters
    ----------
    kept
        The keys of the new dataset.
    stamp
        Time of the new lines, later than all old ones.

    Yields
    ------
    tuple of bytes
        Path on the git-annex branch, and content.
    """
    for name, logs in base.logs.items():
        if name in kept:
            continue
        lines = b"".join(b"%s 0 %s\n" % (stamp, uuid) for uuid in sorted(logs.remotes))
        yield logs.place + b".log", lines
        lines = b"".join(b"%s 0 %s\n" % (stamp, url) for url in sorted(logs.urls))
        if lines:
            yield logs.place + b".log.web", lines


def offsets_of(base: Base, records: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """Return where in the tarball each of `records` begins, as the old dataset says it.

    Parameters
    ----------
    records
        DICOM files of the same tarball, each with ``size`` (bytes) and ``md5`` (hex).

    Returns
    -------
    list of int or None
        Bytes; None if it does not say it of every file.
    """
    known: dict[bytes, list[int]] = {}
    for logs in base.logs.values():
        known[logs.key.partition(b".")[0]] = list(logs.offsets)
    found = []
    for record in records:
        places = known.get(b"MD5E-s%d--%s" % (record["size"], record["md5"].encode()))
        if not places:
            return None
        found.append(places.pop(0))
    return found


def places_of(base: Base, repo: Path, guard: Guard) -> list[Place] | None:
    """Return where in the tarball the images of an old dataset are.

    Returns
    -------
    list of Place or None
        None if it does not say it of every image.

    Raises
    ------
    ToolFailed
        Its objects are damaged or missing.
    """
    links = _links(repo, base.refs[HEAD], guard)
    contents = _contents(repo, [sha for sha, _ in links], guard)
    found = []
    for sha, path in links:
        key = contents[sha].rpartition(b"/")[2]
        logs = base.logs.get(key)
        named = _MD5E.match(key)
        if logs is None or named is None:
            return None
        if logs.offsets:
            place = (named[2].decode(), logs.offsets[0], int(named[1]))
            found.append(Place(path.decode(), *place))
        elif any(url.startswith(b":dl+archive:") for url in logs.urls):
            return None
    return found


def _links(repo: Path, commit: str, guard: Guard) -> list[tuple[bytes, bytes]]:
    """Return the annexed files of a commit: object with the link, and path."""
    found = _listed(repo, commit, guard)
    return [(sha, path) for mode, sha, path in found if mode == b"120000"]


def _listed(repo: Path, commit: str, guard: Guard) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield mode, object and path of each file of a commit."""
    args = ["git", "ls-tree", "-r", "-z", commit]
    for line in programs.run(args, repo=repo, guard=guard).split(b"\0"):
        if line:
            about, path = line.split(b"\t", 1)
            mode, _, sha = about.split(b" ")
            yield mode, sha, path


def _newest(repo: Path, commits: Sequence[str], guard: Guard) -> int:
    args = ["git", "show", "--no-patch", "--format=%ct", *commits]
    return max(int(date) for date in programs.run(args, repo=repo, guard=guard).split())


def _read_files(repo: Path, commit: str, guard: Guard) -> dict[bytes, bytes]:
    """Return the logs of all keys, by path."""
    wanted = [
        (sha, path)
        for _, sha, path in _listed(repo, commit, guard)
        if path not in _OF_THE_BRANCH and path.endswith(_ENDINGS)
    ]
    contents = _contents(repo, [sha for sha, _ in wanted], guard)
    return {path: contents[sha] for sha, path in wanted}


def _read_logs(files: Mapping[bytes, bytes]) -> dict[bytes, KeyLogs]:
    """Return what the logs say of each key that is, or was, somewhere."""
    parts: dict[bytes, dict[bytes, bytes]] = {}
    for path, content in files.items():
        place, _, ending = path.rpartition(b".log")
        parts.setdefault(place, {})[ending] = content
    found = (_of_key(place, said) for place, said in parts.items())
    return {logs.key: logs for logs in found if logs.remotes or logs.urls}


def _of_key(place: bytes, said: Mapping[bytes, bytes]) -> KeyLogs:
    state = b""
    for line in said.get(b".rmt", b"").splitlines():
        state = line.split(b" ", 2)[-1]
    return KeyLogs(
        place,
        urls=frozenset(_named(said.get(b".web", b""))),
        remotes=frozenset(_named(said.get(b"", b""))),
        offsets=tuple(decode_state(state.decode("ascii", "replace"))),
    )


def _named(lines: bytes) -> Iterator[bytes]:
    """Yield what lines such as ``<time>s 1 <what>`` set or unset."""
    for line in lines.splitlines():
        _, _, what = line.split(b" ", 2)
        yield what


def _contents(repo: Path, shas: list[bytes], guard: Guard) -> dict[bytes, bytes]:
    """Return the content of blobs."""
    unique = list(dict.fromkeys(shas))
    if not unique:
        return {}
    told = programs.run(
        ["git", "cat-file", "--batch", "--buffer"],
        repo=repo,
        guard=guard,
        stdin=b"\n".join(unique) + b"\n",
    )
    found, at = {}, 0
    for _ in unique:
        end = told.index(b"\n", at)
        sha, _, size = told[at:end].split(b" ")
        start = end + 1
        found[sha] = told[start : start + int(size)]
        at = start + int(size) + 1
    return found
