"""What the step ``index_tar`` leaves for the next ones, in the visit's work folder.

``dicoms.json``
    the list of DICOM files, already in the layout of ``…_metadata_dicoms.json``
``offsets.json``
    for each file of that list the byte of the tarball at which its content begins
``index.json``
    the note on the tarball: size, MD5, number of DICOM files, newest time; the
    fingerprint of the file that was read, and whether a change of it is sure to show, or
    nothing of it if it was read as it came from the store;
    size and MD5 of both lists. It appears last: where it is, the lists are whole or, the
    first one, was published already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

from icfqueue.core.errors import TarballChanged
from icfqueue.core.guard import Guard
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.outputs.freshness import touched
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint
from icfqueue.tarball.scan import Tarball, member_offsets, newest_member

INDEX: Final = "index.json"
"""Name of the note on the tarball in the visit's work folder."""

DICOMS: Final = "dicoms.json"
"""Name of the list of DICOM files in the visit's work folder."""

OFFSETS: Final = "offsets.json"
"""Name of the list of their places in the tarball in the visit's work folder."""


class Listing(NamedTuple):
    """Size (bytes) and MD5 (hex) of a list: tells whether it is the right one."""

    size: int
    md5: str

    @classmethod
    def of(cls, store: Store, path: Path) -> Listing | None:
        """Return the listing at `path` as it is there, or None if there is none."""
        with suppress(FileNotFoundError), store.open_read(path) as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
            return cls(file.tell(), md5)
        return None

    @classmethod
    def of_bytes(cls, content: bytes) -> Listing:
        """Return the listing with this content."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(len(content), md5)


class Index(NamedTuple):
    """The content of ``index.json``; one that is older knows no `offsets`.

    It has no `identifiers` either, nor has one for which nobody looked.
    Without a `fingerprint` no file here was read: the tarball came from the store, whose
    strong ETag for it is `validator`.
    """

    tarball: Tarball
    fingerprint: Fingerprint | None
    settled: bool
    listing: Listing
    offsets: Listing | None = None
    validator: str | None = None
    identifiers: Identifiers | None = None


def index_path(store: Store, visit: Visit) -> Path:
    """Return where the note on the tarball lies between two steps."""
    return store.work_dir(visit) / INDEX


def dicoms_path(store: Store, visit: Visit) -> Path:
    """Return where the list of DICOM files lies until it is published."""
    return store.work_dir(visit) / DICOMS


def offsets_path(store: Store, visit: Visit) -> Path:
    """Return where the places of the DICOM files lie between two steps."""
    return store.work_dir(visit) / OFFSETS


def read(store: Store, visit: Visit) -> Index | None:
    """Return what ``index.json`` says, or None if it is not there or not readable.

    The file is ours and can be made anew, so a damaged one counts as absent.
    """
    try:
        found = json.loads(store.read_bytes(index_path(store, visit)))
        return Index(
            Tarball(*(found[key] for key in ("size", "md5", "dicoms", "newest"))),
            _fingerprint(store, visit, found),
            bool(found.get("settled", False)),
            Listing(**found["listing"]),
            Listing(**found["offsets"]) if "offsets" in found else None,
            found.get("validator"),
            _identifiers(found),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _identifiers(found: dict[str, Any]) -> Identifiers | None:
    told = found.get("identifiers")
    return Identifiers(told["paths"], told["tags"], tuple(told["kinds"])) if told else None


def _fingerprint(store: Store, visit: Visit, found: dict[str, Any]) -> Fingerprint | None:
    """Return the fingerprint that ``index.json`` has; None if it says it has none.

    A worker of a release before inodes were noted may have written it: the tarball that
    is there is then the one that was read if the rest is the same, as that release holds.
    """
    told = found["fingerprint"]
    if told is None:
        return None
    if "inode" in found:
        return Fingerprint(inode=found["inode"], **told)
    now = store.fingerprint(store.path(visit, visit.tarball))
    return Fingerprint(inode=now.inode if now else 0, **told)


def newest_time(store: Store, visit: Visit, guard: Guard) -> int:
    """Return the newest member time of the visit's tarball, in whole seconds since 1970.

    From ``index.json`` if it belongs to the tarball; else (the metadata were there
    already, so nothing was indexed) by a pass over the tarball.

    Raises
    ------
    BadTarball
        It is no tar, or damaged.
    TarballTouched
        It has gone meanwhile.
    """
    tarball = store.path(visit, visit.tarball)
    known = read(store, visit)
    if known and known.fingerprint and known.fingerprint == store.fingerprint(tarball):
        return known.tarball.newest
    try:
        with store.open_read(tarball) as source:
            return newest_member(source, guard, name=visit.tarball)
    except FileNotFoundError as error:
        raise touched(visit) from error


def read_offsets(
    store: Store, visit: Visit, tarball_md5: str, paths: Sequence[str], guard: Guard
) -> list[int] | None:
    """Return where in the visit's tarball the content of each of its DICOM files begins.

    From what `index_tar` left, if it read that tarball; else by a pass over the tarball.

    Parameters
    ----------
    tarball_md5
        Of the tarball that the metadata were made from, in hex.
    paths
        The DICOM files, as the metadata list them.

    Returns
    -------
    list of int or None
        Bytes, in the order of `paths`; None if the tarball is not here and nothing is
        known of it any more.

    Raises
    ------
    BadTarball
        It is no tar, or damaged.
    TarballChanged
        It is not the one that the metadata were made from.
    """
    known = read(store, visit)
    if known and known.offsets and known.tarball.md5 == tarball_md5:
        content = offsets_path(store, visit)
        with suppress(FileNotFoundError, ValueError):
            text = store.read_bytes(content)
            if Listing.of_bytes(text) == known.offsets:
                return [int(offset) for offset in json.loads(text)]
    try:
        with store.open_read(store.path(visit, visit.tarball)) as source:
            places = member_offsets(source, guard, name=visit.tarball)
    except FileNotFoundError:
        return None
    missing = next((path for path in paths if path not in places), None)
    if missing is not None:
        raise TarballChanged(
            f"{visit.storepath} has no member {missing!r}, which its metadata list",
            hint="'icfqueue run PROJECT VISIT --force' makes everything anew from it",
        )
    return [places[path] for path in paths]


def dump(index: Index) -> str:
    """Return the text of ``index.json``, which workers of the release before read, too."""
    fingerprint = index.fingerprint._asdict() if index.fingerprint else None
    return json.dumps(
        {
            **asdict(index.tarball),
            # Not among the others: the release before takes no fourth one.
            **({"inode": fingerprint.pop("inode")} if fingerprint else {}),
            # None is no fingerprint for that release, to which the tarball is not indexed.
            "fingerprint": fingerprint,
            "settled": index.settled,
            "listing": index.listing._asdict(),
            **({"offsets": index.offsets._asdict()} if index.offsets else {}),
            **({} if index.identifiers is None else _told(index.identifiers)),
            **({"validator": index.validator} if index.validator else {}),
        }
    )


def _told(found: Identifiers) -> dict[str, Any]:
    told = {"paths": found.paths, "tags": found.tags, "kinds": found.kinds}
    return {"identifiers": told}
