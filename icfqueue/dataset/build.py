"""From metadata to a bare repository with both branches, checked by git."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice, repeat
from pathlib import Path

from icfqueue.core.errors import BadTarball
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.dataset import branches, repository
from icfqueue.dataset.annex_keys import AnnexKey, KeySource, WantedKey
from icfqueue.dataset.branches import Contents, Dicom, Fields
from icfqueue.dataset.history import Base
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import Source
from icfqueue.outputs.ids import dataset_id, remote_uuid
from icfqueue.outputs.metadata_files import DicomRecord

MAX_NAME = 255
"""Longest name of a file in bytes, on every usual file system."""


def build(
    repo: Path,
    visit: Visit,
    store_url: str,
    source: Source,
    records: list[DicomRecord],
    *,
    offsets: Sequence[int] | None = None,
    base: Base | None = None,
    keys: KeySource | None = None,
    guard: Guard = UNGUARDED,
) -> None:
    """Write both branches of a visit's dataset into a bare repository; have git check them.

    Parameters
    ----------
    repo
        An empty bare repository (:func:`icfqueue.dataset.repository.make_bare`).
    source, records
        What the dataset is made from. `records` is emptied: it is the largest part of
        what a large visit needs of memory.
    offsets
        For each record the byte of the tarball at which its content begins, if known.
    base
        The dataset, in the same repository, to build upon.
    keys
        A running git-annex; without it one is started and ended.
    guard
        Told of the progress.

    Raises
    ------
    BadTarball
        A member cannot be in a dataset.
    ToolFailed, DiskTrouble
        git or git-annex failed.
    """
    wanted = [
        WantedKey(source.size, source.md5, visit.dspath.encode()),
        *(WantedKey(r["size"], r["md5"], _bytes(r["path"])) for r in records),
    ]
    _check_paths([item.path for item in wanted])
    tags = [branches.fields(record) for record in records]
    records.clear()
    with nullcontext(keys) if keys else KeySource(repo) as source_of_keys:
        named = source_of_keys.keys(wanted, guard)
        contents = _contents(
            visit,
            store_url,
            source,
            wanted,
            tags=tags,
            named=named,
            offsets=offsets,
            base=base,
        )
        repository.fast_import(repo, branches.stream(contents, guard), guard)
    repository.check_tree(repo, deposit.HEAD, guard)


def _contents(
    visit: Visit,
    url: str,
    source: Source,
    wanted: list[WantedKey],
    *,
    tags: list[Fields],
    named: Iterator[AnnexKey],
    offsets: Sequence[int] | None,
    base: Base | None,
) -> Contents:
    """Return what the dataset holds; its DICOM files are named as it is written."""
    tarball = next(named)
    places: Iterable[int | None] = offsets or repeat(None, len(tags))
    made = zip(islice(wanted, 1, None), named, tags, places, strict=True)
    dicoms = (Dicom(w.path, key, w.size, fields, at) for w, key, fields, at in made)
    return Contents(
        title=f"{visit.project} {visit.id}",
        # Later than all that the old dataset says, or it would not count.
        when=max(source.newest, base.when + 1) if base else source.newest,
        dataset=dataset_id(url, visit),
        uncurl=remote_uuid(url, visit, branches.UNCURL),
        archivist=remote_uuid(url, visit, branches.ARCHIVIST),
        tarball=tarball,
        tarball_path=wanted[0].path,
        tarball_url=source.url.encode(),
        dicoms=branches.Named(len(tags), dicoms),
        base=base,
    )


def _bytes(path: str) -> bytes:
    try:
        return path.encode()
    except UnicodeEncodeError:
        raise _bad_member(path, "has a name that is not UTF-8") from None


def _check_paths(paths: list[bytes]) -> None:
    """Refuse what cannot lie in one git tree beside the dataset's own files.

    `index_tar` refuses more and says so earlier. This is the last look before git, which
    would let a folder silently replace a file.

    Raises
    ------
    BadTarball
        Names the first member that cannot be.
    """
    files = set(branches.OWN_FILES)
    folders = {path.rpartition(b"/")[0] for path in branches.OWN_FILES}
    for path in paths:
        parts = path.split(b"/")
        bad = any(part in {b"", b".", b".."} or len(part) > MAX_NAME for part in parts)
        if bad or b"\n" in path or b"\0" in path:
            raise _bad_member(path, "has a name that no dataset can hold")
        if path in files:
            raise _bad_member(
                path, "is there twice, or is called like a file of the dataset"
            )
        files.add(path)
        while path := path.rpartition(b"/")[0]:
            if path in folders:
                break
            folders.add(path)
    for path in sorted(files & folders):
        raise _bad_member(path, "is both a file and a folder")


def _bad_member(path: bytes | str, what: str) -> BadTarball:
    shown = path if isinstance(path, str) else path.decode("utf-8", "replace")
    return BadTarball(
        f"member {shown!r} {what}",
        hint="the tarball must be made anew without it",
        cause="bad-name",
    )
