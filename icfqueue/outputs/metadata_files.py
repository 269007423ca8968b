"""The two metadata files of a visit: layout, reading, checking.

The layout is that of the institute's tools:

``<visit>_metadata_dicoms.json``
    array, in tar order, one object per DICOM file: ``path``, ``md5``, ``size`` and the
    six tags of :data:`icfqueue.tarball.dicom_walk.NAMES`
``<visit>_metadata_tarball.json``
    object: ``size``, ``md5``, ``dspath``, ``storepath``

The second appears last and goes first: where it is, both are there and belong together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icfqueue.core.errors import BadMetadata
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

DicomRecord = dict[str, Any]
"""One object of ``…_metadata_dicoms.json``."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_DICOMS = "_metadata_dicoms.json"


@dataclass(frozen=True, slots=True)
class TarballMeta:
    """The content of ``…_metadata_tarball.json``.

    Attributes
    ----------
    size
        Of the tarball, in bytes.
    md5
        Of the tarball, in hex.
    dspath
        Where it lies in the dataset.
    storepath
        Where it lies below the store URL.
    """

    size: int
    md5: str
    dspath: str
    storepath: str


class DicomsFile:
    """A visit's ``…_metadata_dicoms.json``, read once however often it is asked about.

    Parameters
    ----------
    store, visit
        Whose file; it is read when it is first asked about.
    """

    def __init__(self, store: Store, visit: Visit) -> None:
        self._store = store
        self.path = store.path(visit, visit.metadata_dicoms)
        self._content: bytes | None = None
        self._md5: str | None = None
        self._asked = False

    @property
    def md5(self) -> str | None:
        """MD5 (hex) of the file; None if it is not there."""
        self._read()
        return self._md5

    def missing(self) -> BadMetadata:
        """Return the error for a file that is not there."""
        return _bad(self.path, "it is missing")

    def records(self) -> list[DicomRecord]:
        """Return the list of DICOM files, in tar order.

        What was read is let go of: a list of 100,000 files has 30 MB.

        Raises
        ------
        BadMetadata
            The file is missing or damaged.
        """
        self._read()
        content, self._content, self._asked = self._content, None, False
        if content is None:
            raise self.missing()
        found = _parsed(self.path, content)
        if not isinstance(found, list):
            raise _bad(self.path, "it holds no array")
        for number, record in enumerate(found):
            if not (
                isinstance(record, dict)
                and isinstance(record.get("path"), str)
                and isinstance(record.get("size"), int)
                and isinstance(record.get("md5"), str)
                and _MD5.fullmatch(record["md5"])
            ):
                raise _bad(self.path, f"entry {number} has no proper path, size and MD5")
        return found

    def _read(self) -> None:
        if self._asked:
            return
        self._asked = True
        try:
            self._content = self._store.read_bytes(self.path)
        except FileNotFoundError:
            self._md5 = None
            return
        self._md5 = hashlib.md5(self._content, usedforsecurity=False).hexdigest()


def read_dicoms(store: Store, visit: Visit) -> list[DicomRecord]:
    """Return the published list of the visit's DICOM files, in tar order.

    Raises
    ------
    BadMetadata
        The file is missing or damaged.
    """
    return DicomsFile(store, visit).records()


def read_tarball(store: Store, visit: Visit) -> TarballMeta | None:
    """Return what is published on the visit's tarball, or None if nothing is.

    Raises
    ------
    BadMetadata
        The file is damaged or is another visit's.
    """
    path = store.path(visit, visit.metadata_tarball)
    found = _load(store, path)
    if found is None:
        return None
    why = _wrong(found)
    if why:
        raise _bad(path, why)
    meta = _meta(found)
    if (meta.dspath, meta.storepath) != (visit.dspath, visit.storepath):
        raise _bad(path, "it belongs to another visit")
    return meta


def sound_tarball(store: Store, visit: Visit) -> TarballMeta | None:
    """Return a tarball's file if it is sound; a damaged one is to be replaced."""
    try:
        found = _load(store, store.path(visit, visit.metadata_tarball))
    except BadMetadata:
        return None
    return None if found is None or _wrong(found) else _meta(found)


def visits_with_both(project: str, names: Iterable[str]) -> list[Visit]:
    """Return the visits, by id, of which both metadata files are among `names`."""
    there = set(names)
    found = (
        Visit.named(project, name.removesuffix(_DICOMS))
        for name in there
        if name.endswith(_DICOMS)
    )
    return sorted(
        visit
        for visit in found
        if visit and {visit.metadata_tarball, visit.metadata_dicoms} <= there
    )


def visits_here(store: Store, project: str) -> list[Visit]:
    """Return the visits of `project`, by id, whose metadata files are both here."""
    names = (entry.name for entry in store.listing(store.project_dir(project)))
    return visits_with_both(project, names)


def _meta(found: Any) -> TarballMeta:
    return TarballMeta(*(found[key] for key in ("size", "md5", "dspath", "storepath")))


def _wrong(found: Any) -> str:
    """Return what is wrong with the content of a tarball's file; empty if nothing."""
    if not isinstance(found, dict):
        return "it holds no object"
    size, md5 = found.get("size"), found.get("md5")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return "'size' is no number of bytes"
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        return "'md5' is no MD5"
    for key in ("dspath", "storepath"):
        if not isinstance(found.get(key), str):
            return f"{key!r} is no path"
    return ""


def _load(store: Store, path: Path) -> Any:
    try:
        return _parsed(path, store.read_bytes(path))
    except FileNotFoundError:
        return None


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:  # bad JSON or bad UTF-8; its text may quote a value
        raise _bad(path, f"it is no JSON ({type(error).__name__})") from None


def _bad(path: Path, why: str) -> BadMetadata:
    return BadMetadata(
        f"{path} cannot be used: {why}",
        hint="it is made anew from the tarball by 'icfqueue run PROJECT VISIT --force'",
    )
