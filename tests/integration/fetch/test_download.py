"""Step ``fetch`` from a good store, from one that refuses, and to a disk in trouble."""

from __future__ import annotations

import errno
import os

import pytest
from support.faulty_store import FaultyStore
from support.fetch import (
    CONTENT,
    MD5,
    TAR_PATH,
    VISIT,
    assert_fetched,
    bytes_counted,
    in_store,
    leftovers,
    tarball_of,
)
from support.guards import CountingGuard

from icfqueue.core.errors import AccessDenied, DiskTrouble, NotInStore, PermanentError
from icfqueue.remote.partial_download import Part
from icfqueue.steps import fetch
from icfqueue.steps.job import Job


def test_a_tarball_is_downloaded_checked_and_published(web: FaultyStore, job: Job) -> None:
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes, outcome.tar_md5) == (True, len(CONTENT), MD5)
    assert_fetched(job)
    assert bytes_counted(job) == len(CONTENT)
    assert isinstance(job.guard, CountingGuard)
    assert job.guard.asked == [VISIT.tarball]
    assert web.count("GET", TAR_PATH) == 1


def test_a_tarball_that_is_here_is_used(web: FaultyStore, job: Job) -> None:
    tarball_of(job).write_bytes(b"mine")
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes) == (False, 4)
    assert not web.seen


def test_without_a_published_md5_the_length_is_enough(web: FaultyStore, job: Job) -> None:
    in_store(web, VISIT.md5sum).unlink()
    assert fetch.run(job).tar_md5 is None
    assert_fetched(job)


def test_an_empty_tarball_is_fetched_as_it_is(web: FaultyStore, job: Job) -> None:
    in_store(web).write_bytes(b"")
    in_store(web, VISIT.md5sum).unlink()
    assert fetch.run(job).tar_bytes == 0
    assert tarball_of(job).read_bytes() == b""


@pytest.mark.parametrize("kind", ["dangling", "folder", "loop"])
def test_what_is_no_file_in_its_place_is_said_so(job: Job, kind: str) -> None:
    if kind == "folder":
        tarball_of(job).mkdir()
    else:
        target = "nowhere" if kind == "dangling" else VISIT.tarball
        tarball_of(job).symlink_to(target)
    with pytest.raises(PermanentError, match=r"v_dicom\.tar is "):
        fetch.run(job)
    assert not tarball_of(job).is_file()


# Trouble that does not pass


def test_without_access_the_visit_fails(
    web: FaultyStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALAD_CREDENTIAL_STORE_SECRET", "wrong")
    with pytest.raises(AccessDenied):
        fetch.run(job)
    assert web.count() == 2
    assert leftovers(job) == []


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDenied), (404, NotInStore)])
def test_a_refusal_is_permanent(
    web: FaultyStore, job: Job, status: int, kind: type[PermanentError]
) -> None:
    web.fail("status", status=status, path=TAR_PATH)
    with pytest.raises(kind):
        fetch.run(job)


# The disk


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_in_trouble_leaves_no_part(
    job: Job, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(self: Part, piece: bytes) -> None:
        if self.have > 500_000:
            raise OSError(code, os.strerror(code), str(self.path))
        real(self, piece)

    real = Part.write
    with monkeypatch.context() as patch:
        patch.setattr(Part, "write", fail)
        with pytest.raises(DiskTrouble, match="fetching the tarball"):
            fetch.run(job)
    assert leftovers(job) == []
    fetch.run(job)
    assert_fetched(job)
