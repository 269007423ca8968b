"""A visit on a store that misbehaves, and the job that fetches it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from icfqueue.core.visit import Visit
from icfqueue.remote import partial_download
from icfqueue.serve.server import validators
from icfqueue.steps.job import Job
from icfqueue.store.beneath.walk import HIDDEN
from support.faulty_store import FaultyStore
from support.guards import CountingGuard

VISIT = Visit("study_1", "v")
TAR_PATH = f"/{VISIT.storepath}"
"""Path of the visit's tarball in the store's URL."""

CONTENT = random.Random(1).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()

IMPATIENT = 0.8
"""Seconds without a byte after which a test's job gives up where a store stalls."""


class BreakingGuard(CountingGuard):
    """Raises `error` once more than `until` bytes have come, and before publication."""

    def __init__(self, error: Exception, until: int) -> None:
        super().__init__()
        self.error, self.until = error, until

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        super().advance(bytes=bytes, dicoms=dicoms)
        if self.bytes > self.until:
            raise self.error

    def before_change(self, name: str) -> None:
        super().before_change(name)
        raise self.error


def impatient(job: Job) -> Job:
    """Return the job as one that does not wait for a store that stalls."""
    quick = structs.replace(job.settings, read_timeout=IMPATIENT)
    return replace(job, settings=quick)


def tarball_of(job: Job) -> Path:
    """Return where the tarball appears in the store directory."""
    return job.store.path(job.visit, job.visit.tarball)


def in_store(web: FaultyStore, name: str = VISIT.tarball) -> Path:
    """Return the file that the store on the web serves under that name."""
    return web.root / VISIT.project / name


def parts_of(job: Job) -> list[Path]:
    """Return what was received of the tarball and not published."""
    return partial_download._parts(job.store.work_dir(job.visit))


def leftovers(job: Job) -> list[str]:
    """Return what lies in the project's folder beside outputs."""
    folder = job.store.project_dir(job.visit.project)
    return [str(path) for path in folder.rglob("*") if HIDDEN in path.parts]


def assert_fetched(job: Job) -> None:
    """Fail unless the tarball is here, whole, and nothing else."""
    assert tarball_of(job).read_bytes() == CONTENT
    assert leftovers(job) == []


def bytes_counted(job: Job) -> int:
    """Return how many bytes the job's :class:`CountingGuard` was told of."""
    assert isinstance(job.guard, CountingGuard)
    return job.guard.bytes


def etag(web: FaultyStore) -> str:
    """Return the validator that the store sends with the tarball."""
    about = in_store(web).stat()
    return validators(about.st_size, about.st_mtime_ns)["ETag"]
