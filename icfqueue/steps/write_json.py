"""Step ``write_json``: publish what the tarball holds.

The two files and their layout: :mod:`icfqueue.outputs.metadata_files`.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from icfqueue.core.errors import TransientError
from icfqueue.core.options import Outcome
from icfqueue.outputs import freshness, metadata_files, tarball_index
from icfqueue.outputs.completeness import count_of_dicoms
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.steps.job import Job
from icfqueue.store.disk import disk_trouble


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
        worked = not listed or metadata_files.sound_tarball(store, visit) != wanted
        if worked:
            _publish(job, known, wanted, listed=listed)
    return Outcome(
        worked, tar_bytes=tarball.size, tar_md5=tarball.md5, dicoms=tarball.dicoms
    )


def _listing(job: Job) -> tarball_index.Listing | None:
    """Return size and MD5 of the published list of DICOM files."""
    visit = job.visit
    path = job.store.path(visit, visit.metadata_dicoms)
    return tarball_index.Listing.of(job.store, path)


def _check_unchanged(job: Job, known: tarball_index.Index) -> None:
    if known.fingerprint is None:
        # It came from the store; a file that has appeared here since was not read.
        return
    tarball = job.store.path(job.visit, job.visit.tarball)
    now = job.store.fingerprint(tarball)
    if now is None:
        raise job.unseen(freshness.touched(job.visit))
    if now != known.fingerprint:
        raise freshness.touched(job.visit)


def _publish(
    job: Job, known: tarball_index.Index, wanted: TarballMeta, *, listed: bool
) -> None:
    """Publish the list, unless it is `listed` already, and then what vouches for it."""
    store, visit, guard = job.store, job.visit, job.guard
    source = tarball_index.dicoms_path(store, visit)
    indexed = None if listed else tarball_index.Listing.of(store, source)
    if not listed and indexed is None and job.vouched:
        raise job.unseen(
            TransientError(
                f"the list of DICOM files of {visit} is missing", cause="metadata"
            )
        )
    if not listed and indexed != known.listing:
        store.withdraw(visit, tarball_index.index_path(store, visit), guard)
        raise TransientError(
            f"the list of DICOM files of {visit} is not the one that was indexed",
            hint="the visit is indexed again",
            cause="metadata",
        )
    note = store.path(visit, visit.metadata_tarball)
    # A deposit must not outlive the metadata that it was made from.
    store.withdraw(visit, store.path(visit, visit.refs), guard)
    store.withdraw(visit, note, guard)
    if not listed:
        store.publish(source, store.path(visit, visit.metadata_dicoms), guard)
    with store.scratch(visit, guard) as scratch:
        new = scratch / "tarball.json"
        new.write_text(json.dumps(asdict(wanted)) + "\n")
        # Once more after the file was written; the next run sees a later change.
        _check_unchanged(job, known)
        store.publish(new, note, guard)


def _as_published(job: Job) -> Outcome:
    """Return the outcome for a visit whose metadata were there before it was indexed."""
    told = metadata_files.read_tarball(job.store, job.visit)
    if told is None:
        raise job.unseen(
            TransientError(
                f"the tarball of {job.visit} is not indexed",
                hint="'icfqueue run PROJECT VISIT --force' begins with the step index_tar",
                cause="metadata",
            )
        )
    if job.is_stale(told.md5):
        raise job.unseen(
            TransientError(f"the index of the new {job.visit} is missing", cause="metadata")
        )
    dicoms = job.dicoms
    if dicoms is None:
        dicoms = count_of_dicoms(job.store, job.visit, job.options.store_url)
    return Outcome(False, tar_bytes=told.size, tar_md5=told.md5, dicoms=dicoms)
