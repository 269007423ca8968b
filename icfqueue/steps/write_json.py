"""Step ``write_json``: publish what the tarball holds, and read it again.

Two files, whose layout is that of the institute's tools:

``<visit>_metadata_dicoms.json``
    array, in tar order, one object per DICOM file: ``path``, ``md5``, ``size`` and the
    six tags of :data:`icfqueue.tarball.dicom_tags.NAMES`
``<visit>_metadata_tarball.json``
    object: ``size``, ``md5``, ``dspath``, ``storepath``

The second appears last and goes first: where it is, both are there and belong together.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from icfqueue.core.errors import PermanentError, TransientError
from icfqueue.core.visit import Visit
from icfqueue.outputs import tarball_index
from icfqueue.steps.job import Job, Outcome
from icfqueue.store.directory import Fingerprint, Store, disk_trouble

DicomRecord = dict[str, Any]
"""One object of ``…_metadata_dicoms.json``."""

_MD5 = re.compile(r"[0-9a-f]{32}")


class BadMetadata(PermanentError):
    """A published metadata file is not what it must be."""


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


def run(job: Job) -> Outcome:
    """Publish both metadata files of the indexed tarball.

    Returns
    -------
    Outcome
        ``worked`` is False if both were there and the same.

    Raises
    ------
    TransientError
        The tarball changed since it was indexed, or was not indexed here.
    """
    store, visit = job.store, job.visit
    with disk_trouble(f"writing the metadata of {visit}"):
        known = tarball_index.read(store, visit)
        if known is None:
            return _as_published(job)
        tarball = known.tarball
        wanted = TarballMeta(tarball.size, tarball.md5, visit.dspath, visit.storepath)
        _check_unchanged(job, known)
        listed = _listing(job) == known.listing
        note = store.path(visit, visit.metadata_tarball)
        worked = not listed or _readable(note) != wanted
        if worked:
            _publish(job, known, wanted, listed=listed)
    return Outcome(
        worked, tar_bytes=tarball.size, tar_md5=tarball.md5, dicoms=tarball.dicoms
    )


def _listing(job: Job) -> tarball_index.Listing | None:
    """Return size and MD5 of the published list of DICOM files."""
    visit = job.visit
    return tarball_index.Listing.of(job.store.path(visit, visit.metadata_dicoms))


def _check_unchanged(job: Job, known: tarball_index.Index) -> None:
    tarball = job.store.path(job.visit, job.visit.tarball)
    if Fingerprint.of(tarball) != known.fingerprint:
        raise tarball_index.touched(job.visit)


def _publish(
    job: Job, known: tarball_index.Index, wanted: TarballMeta, *, listed: bool
) -> None:
    """Publish the list, unless it is `listed` already, and then what vouches for it."""
    store, visit, watch = job.store, job.visit, job.watch
    source = tarball_index.dicoms_path(store, visit)
    if not listed and tarball_index.Listing.of(source) != known.listing:
        store.withdraw(visit, tarball_index.index_path(store, visit), watch)
        raise TransientError(
            f"the list of DICOM files of {visit} is not the one that was indexed",
            hint="the visit is indexed again",
        )
    note = store.path(visit, visit.metadata_tarball)
    # A deposit must not outlive the metadata that it was made from.
    store.withdraw(visit, store.path(visit, visit.refs), watch)
    store.withdraw(visit, note, watch)
    if not listed:
        store.publish(source, store.path(visit, visit.metadata_dicoms), watch)
    with store.scratch(visit, watch) as scratch:
        new = scratch / "tarball.json"
        new.write_text(json.dumps(asdict(wanted)) + "\n")
        # Looked at once more after the file was written: what changes the tarball from
        # now on makes it newer than the file, and the next run sees that.
        _check_unchanged(job, known)
        store.publish(new, note, watch)


def _as_published(job: Job) -> Outcome:
    """Return the outcome for a visit whose metadata were there before it was indexed."""
    told = read_tarball(job.store, job.visit)
    if told is None:
        raise TransientError(
            f"the tarball of {job.visit} is not indexed",
            hint="enqueue the visit again: it begins with the step `index_tar`",
        )
    dicoms = len(read_dicoms(job.store, job.visit))
    return Outcome(False, tar_bytes=told.size, tar_md5=told.md5, dicoms=dicoms)


def read_tarball(store: Store, visit: Visit) -> TarballMeta | None:
    """Return what is published on the visit's tarball, or None if nothing is.

    Raises
    ------
    BadMetadata
        The file is damaged or is another visit's.
    """
    path = store.path(visit, visit.metadata_tarball)
    found = _load(path)
    if found is None:
        return None
    why = _wrong(found)
    if why:
        raise _bad(path, why)
    meta = TarballMeta(*(found[key] for key in ("size", "md5", "dspath", "storepath")))
    if (meta.dspath, meta.storepath) != (visit.dspath, visit.storepath):
        raise _bad(path, "it belongs to another visit")
    return meta


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


def read_dicoms(store: Store, visit: Visit) -> list[DicomRecord]:
    """Return the published list of the visit's DICOM files, in tar order.

    Raises
    ------
    BadMetadata
        The file is missing or damaged.
    """
    path = store.path(visit, visit.metadata_dicoms)
    found = _load(path)
    if found is None:
        raise _bad(path, "it is missing")
    if not isinstance(found, list):
        raise _bad(path, "it holds no array")
    for number, record in enumerate(found):
        if not (
            isinstance(record, dict)
            and isinstance(record.get("path"), str)
            and isinstance(record.get("size"), int)
            and isinstance(record.get("md5"), str)
            and _MD5.fullmatch(record["md5"])
        ):
            raise _bad(path, f"entry {number} has no proper path, size and MD5")
    return found


def _readable(path: Path) -> TarballMeta | None:
    """Return a tarball's file if it is sound; a damaged one is to be replaced."""
    try:
        found = _load(path)
    except BadMetadata:
        return None
    if found is None or _wrong(found):
        return None
    return TarballMeta(*(found[key] for key in ("size", "md5", "dspath", "storepath")))


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:  # bad JSON or bad UTF-8; its text may quote a value
        raise _bad(path, f"it is no JSON ({type(error).__name__})") from None


def _bad(path: Path, why: str) -> BadMetadata:
    return BadMetadata(
        f"{path} cannot be used: {why}",
        hint="remove it or use --force; it is then made anew from the tarball",
    )
