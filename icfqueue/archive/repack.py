"""``icfqueue repack``: from a tarball that DataLad could not give back one that it can.

The new one keeps order and times of the members; they are root's, with mode 0644, as
``icfqueue archive`` writes them. Links become files with the content that they lead to.
What was renamed or left out stands in a list beside it.
"""

from __future__ import annotations

import io
import json
import math
import shlex
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from icfqueue.archive.make import md5_line, write_all, writing
from icfqueue.archive.old_members import Contents, Old, plain, read
from icfqueue.archive.renames import renamed
from icfqueue.archive.tar_writer import TarWriter
from icfqueue.core.errors import ArchiveExists, NotInStore
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.near_misses import like_project, near_names
from icfqueue.tarball.header import LATEST
from icfqueue.tarball.scan import index_stream

NEW, LIST, OLD = ".repacked", ".repacked.json", ".before-repack"
"""What follows the tarball's name in those of the new one, of the list and of the old one
that was replaced. A run takes none of them for a visit."""

_SOME = 5
"""Tarballs that are named where another is not there."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a member.

    Attributes
    ----------
    old, new
        Its path before and now; empty if it was left out.
    why
        What was wrong with it.
    """

    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Repacked:
    """A tarball that was packed again.

    Attributes
    ----------
    path
        The new one; None if the old one needs no mending.
    listed
        The list of changes.
    kept
        The old one, if the new one has its place.
    size, md5, dicoms
        Of the new one, in bytes and in hex, and its number of DICOM files.
    changes
        What was renamed, left out, or made a file of its own.
    unpacked
        Whether the old one was compressed.
    """

    path: Path | None
    listed: Path | None = None
    kept: Path | None = None
    size: int = 0
    md5: str = ""
    dicoms: int = 0
    changes: tuple[Change, ...] = ()
    unpacked: bool = False


class _Plan(NamedTuple):
    """What is to be written, and what is different in it."""

    members: list[tuple[Old, str]]
    changes: tuple[Change, ...]


def repack(store: Store, visit: Visit, *, replace: bool = False) -> Repacked:
    """Pack the visit's tarball again, beside it.

    Parameters
    ----------
    replace
        Give the new one the place of the old one, which is kept under another name.

    Raises
    ------
    NotInStore
        It is not there.
    BadTarball
        It is cut or damaged, or would still be no dataset.
    ArchiveExists
        It was replaced before, and what it was then is still kept.
    DiskTrouble
        The new one cannot be written.
    """
    store.check_is_there()
    target = store.path(visit, visit.tarball)
    names = {suffix: target.with_name(target.name + suffix) for suffix in (NEW, LIST, OLD)}
    source = _open(store, visit, names, replace=replace)
    with source, writing(visit), store.archive_scratch(visit) as scratch:
        with plain(source, scratch, name=visit.tarball) as (tar, packed):
            opened, olds, _ = read(tar, name=visit.tarball)
            with closing(opened):
                plan = _plan(opened, olds, visit.dspath)
                if not plan.changes and not packed:
                    return Repacked(None)
                new = scratch / "tar"
                with new.open("xb", buffering=0) as out:
                    size, md5 = _write(opened, plan, lambda piece: write_all(out, piece))
        with new.open("rb", buffering=0) as written:
            found = index_stream(
                written, io.BytesIO(), name=visit.tarball, dspath=visit.dspath
            )
        listed = scratch / "list"
        listed.write_text(_list(visit, plan.changes, size, md5, unpacked=packed))
        final = target if replace else names[NEW]
        made = Repacked(
            path=final,
            listed=names[LIST],
            kept=names[OLD] if replace else None,
            size=size,
            md5=md5,
            dicoms=found.dicoms,
            changes=plan.changes,
            unpacked=packed,
        )
        if replace:
            _make_way(store, visit, names[OLD], md5, scratch)
        store.publish_all([(listed, names[LIST]), (new, final)], UNGUARDED)
        if replace:
            store.publish(scratch / "md5sum", store.path(visit, visit.md5sum), UNGUARDED)
            # It was packed before to be looked at.
            store.withdraw(visit, names[NEW], UNGUARDED)
    return made


def _open(store: Store, visit: Visit, names: dict[str, Path], *, replace: bool) -> FileIO:
    """Open the old tarball, if nothing has the name under which it would be kept."""
    target = store.path(visit, visit.tarball)
    try:
        source = store.open_read(target)
    except FileNotFoundError as error:
        if store.exists(names[OLD]):
            # A file system without second names, and an end at the wrong moment.
            raise NotInStore(
                f"{target} is not there, but {names[OLD]}",
                hint=f"`mv {shlex.quote(str(names[OLD]))} {shlex.quote(str(target))}`",
            ) from error
        raise NotInStore(f"{target} is not there", hint=_meant(store, visit)) from error
    if replace and store.exists(names[OLD]):
        source.close()
        raise ArchiveExists(
            f"{names[OLD]} is there, the tarball before it was packed again",
            hint="move it elsewhere, or remove it, and give the command again",
        )
    return source


def _meant(store: Store, visit: Visit) -> str:
    """Return which tarball may have been meant by one that is not there."""
    if not store.is_folder(store.project_dir(visit.project)):
        return like_project(store, visit.project, "is --store-dir right?")
    here = store.visits(visit.project)
    if near := near_names(visit.id, [other.id for other in here]):
        return f"did you mean {' or '.join(near)}?"
    some = ", ".join(other.id for other in here[:_SOME])
    more = f" and {len(here) - _SOME} more" if here[_SOME:] else ""
    return f"there are {some}{more}" if some else "no tarball of the project is there"


def _plan(tar: tarfile.TarFile, olds: Sequence[Old], dspath: str) -> _Plan:
    """Return what each member is to be called, and which are to go."""
    contents = Contents(tar)
    times = Counter(old.name for old in olds)
    whole = [(old, old.content) for old in olds if old.content]
    named = renamed(
        [contents.look(old.name, info, hashed=times[old.name] > 1) for old, info in whole],
        dspath,
    )
    changes = [
        Change(old.name, "", "is a link that leads nowhere")
        for old in olds
        if not old.content
    ]
    members = []
    for (old, info), (name, why) in zip(whole, named, strict=True):
        faults = [why, "is a link" * old.linked, "is a sparse file" * info.issparse()]
        if words := ", and ".join(filter(None, faults)):
            changes.append(Change(old.name, name, words))
        if name:
            members.append((old, name))
    return _Plan(members, tuple(changes))


def _write(
    opened: tarfile.TarFile, plan: _Plan, sink: Callable[[memoryview], None]
) -> tuple[int, str]:
    """Hand the new tar to `sink`; return its size and MD5."""
    contents = Contents(opened)
    with TarWriter(sink) as tar:
        for old, name in plan.members:
            info = old.content
            if info is None:
                continue
            told = info.mtime if math.isfinite(info.mtime) else 0
            time = min(max(math.floor(told), 0), LATEST)
            with contents.open(info) as content:
                tar.add(name, time, info.size, content.readinto)
        tar.finish()
    return tar.size, tar.md5


def _list(
    visit: Visit, changes: Sequence[Change], size: int, md5: str, *, unpacked: bool
) -> str:
    """Return the text of the list."""
    said = {
        "tarball": visit.tarball,
        "size": size,
        "md5": md5,
        "was_compressed": unpacked,
        "changes": [asdict(change) for change in changes],
    }
    return json.dumps(said, indent=1) + "\n"


def _make_way(store: Store, visit: Visit, kept: Path, md5: str, scratch: Path) -> None:
    """Have the old tarball keep its content under another name; its MD5 goes."""
    (scratch / "md5sum").write_text(md5_line(visit, md5))
    store.keep(store.path(visit, visit.tarball), kept.name)
    store.withdraw(visit, store.path(visit, visit.md5sum), UNGUARDED)
