"""The visits that a superdataset lists, and how each stands in it.

A visit is a submodule: its link in the tree is the commit of the visit's ``master``, its
section in ``.gitmodules`` says where the visit's deposit is cloned from and which id its
dataset has (``git help gitmodules``; ``datalad-id`` is DataLad's).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from icfqueue.core.errors import UnsafePath
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import HEAD, REFS, Source
from icfqueue.outputs.ids import dataset_id
from icfqueue.store.reading import StoreReader

_TAIL = 2048
"""Bytes at the end of a visit's repository in which its comment is looked for."""

_END = b"PK\x05\x06"
"""How a zip's last record begins (PKWARE APPNOTE, 4.3.16); the comment is its end."""

_END_LENGTH = 22

_COMMIT = re.compile(r"[0-9a-f]{40}")

_SECTION = re.compile(rb'\[submodule "([^"\n]+)"\]\n\tpath = ([^\n]+)\n(?:\t[^\n]+\n)+')


@dataclass(frozen=True, slots=True)
class Entry:
    """A visit in the superdataset.

    Attributes
    ----------
    commit
        Of the visit's ``master`` (hex).
    section
        What ``.gitmodules`` says of it.
    """

    commit: str
    section: bytes


@dataclass(frozen=True, slots=True)
class Deposited:
    """What a visit's deposit says of itself.

    Attributes
    ----------
    commit
        Of its ``master`` (hex).
    source
        What it was made from; None for a deposit made by another tool.
    """

    commit: str
    source: Source | None


def deposited(store: StoreReader, project: str) -> set[Visit]:
    """Return the visits of which both files of a deposit are in the store directory."""
    names = {entry.name for entry in store.listing(store.project_dir(project))}
    found = (
        Visit.named(project, name.removesuffix(f"_{REFS}"))
        for name in names
        if name.endswith(f"_{REFS}")
    )
    return {visit for visit in found if visit and visit.repo_export in names}


def read(store: StoreReader, visit: Visit) -> Deposited | None:
    """Return what the visit's deposit says of itself; None if it is not there or damaged.

    A quicker look than :func:`icfqueue.outputs.deposit.read`, for there are many: the
    refs file, which vouches for the repository, and that one's end.
    """
    try:
        text = store.read_bytes(store.path(visit, visit.refs)).decode("ascii")
        commit = deposit.parse_refs(text).get(HEAD, "")
        comment = _comment(store, visit)
    except (FileNotFoundError, ValueError, UnsafePath):
        return None
    if not _COMMIT.fullmatch(commit):
        return None
    return Deposited(commit, deposit.made_from(comment, Source))


def _comment(store: StoreReader, visit: Visit) -> bytes:
    """Return the comment of the visit's repository.

    Raises
    ------
    ValueError
        It is no whole zip.
    """
    with store.open_read(store.path(visit, visit.repo_export)) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        tail = file.readall()
    begin = tail.rfind(_END)
    comment = tail[begin + _END_LENGTH :]
    length = int.from_bytes(tail[begin + _END_LENGTH - 2 : begin + _END_LENGTH], "little")
    if begin < 0 or len(tail) < begin + _END_LENGTH or length != len(comment):
        raise ValueError("the zip has no end")
    return comment


def entry_of(store_url: str, visit: Visit, found: Deposited) -> Entry:
    """Return how a deposited visit stands in the superdataset.

    Parameters
    ----------
    store_url
        Where the visit's deposit is to be cloned from.
    """
    name = visit.id.encode()
    lines = [
        b'[submodule "%s"]' % name,
        b"\tpath = " + name,
        b'\turl = "%s"' % _quoted(deposit.clone_url(store_url, visit)),
    ]
    if found.source is not None:
        # Its id was made from the address that it was deposited for.
        of = found.source.url.removesuffix(f"/{visit.storepath}")
        lines.append(b"\tdatalad-id = %s" % str(dataset_id(of, visit)).encode())
    return Entry(found.commit, b"\n".join(lines) + b"\n")


def _quoted(value: str) -> bytes:
    """Return a value as it stands between quotes in Git's configuration."""
    return value.replace("\\", "\\\\").replace('"', '\\"').encode()


def gitmodules(entries: Iterable[Entry]) -> bytes:
    """Return the content of ``.gitmodules``."""
    return b"".join(entry.section for entry in entries)


def parse(content: bytes, commits: dict[str, str]) -> dict[str, Entry] | None:
    """Return the entries of a superdataset by visit id.

    Parameters
    ----------
    content
        Of its ``.gitmodules``.
    commits
        Path to commit of the links in its tree.

    Returns
    -------
    dict or None
        None if the two do not agree, or were not written here.
    """
    found = {}
    end = 0
    for match in _SECTION.finditer(content):
        name = match[1].decode("utf-8", "replace")
        if match.start() != end or match[1] != match[2] or name not in commits:
            return None
        found[name] = Entry(commits[name], match[0])
        end = match.end()
    whole = end == len(content) and len(found) == len(commits)
    return found if whole else None
