"""What the outputs in the store directory were made from, and whether all are there.

Asked by the steps that look at a visit whose tarball is not here: `fetch`, which then
need not download it, and `cleanup`, which may remove what is not needed any more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from icfqueue.outputs.deposit import FORMAT, Deposit, Source
from icfqueue.steps.job import Job


@dataclass(frozen=True, slots=True)
class Recorded:
    """The tarball that outputs were made from: size in bytes, MD5 in hex."""

    size: int
    md5: str


def recorded(job: Job) -> Recorded | None:
    """Return the tarball that the visit's outputs were made from, if there are any.

    The metadata say it; where they were removed, the deposit does.
    """
    from icfqueue.outputs import deposit
    from icfqueue.steps import write_json

    tarball = write_json.read_tarball(job.store, job.visit)
    if tarball is not None:
        return Recorded(tarball.size, tarball.md5)
    found = deposit.read(job.store, job.visit)
    if found is not None and found.source is not None:
        return Recorded(found.source.size, found.source.md5)
    return None


def whole_deposit(job: Job) -> tuple[Deposit, Source] | None:
    """Return the visit's deposit and what it was made from, if it is whole and right.

    Right means: for this store URL, in the present format, and from the tarball and the
    DICOM metadata that the metadata files stand for. Where a metadata file is missing,
    the deposit's own word is taken: `cleanup` removes them on request.
    """
    from icfqueue.outputs import deposit
    from icfqueue.steps import write_json

    found = deposit.read(job.store, job.visit)
    if found is None or found.source is None:
        return None
    source = found.source
    url = f"{job.options.store_url.rstrip('/')}/{job.visit.storepath}"
    if (source.url, source.format) != (url, FORMAT):
        return None
    tarball = write_json.read_tarball(job.store, job.visit)
    if tarball is not None and (tarball.size, tarball.md5) != (source.size, source.md5):
        return None
    dicoms = _md5_of_dicoms(job)
    if dicoms is not None and dicoms != source.metadata:
        return None
    return found, source


def without_tarball(job: Job) -> bool:
    """Tell whether the visit needs no tarball here, because all else is.

    So it is when the tarball is not in the store directory, the deposit is whole, and the
    metadata are both there or were removed (the tarball's file goes first).
    """
    here = job.store.path(job.visit, job.visit.tarball)
    if job.options.force or here.exists() or whole_deposit(job) is None:
        return False
    tarball, dicoms = (
        job.store.path(job.visit, name).exists()
        for name in (job.visit.metadata_tarball, job.visit.metadata_dicoms)
    )
    return dicoms if tarball else (not dicoms or job.options.remove_metadata)


def _md5_of_dicoms(job: Job) -> str | None:
    path = job.store.path(job.visit, job.visit.metadata_dicoms)
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except FileNotFoundError:
        return None
