"""Step ``fetch`` for visits whose outputs are there already."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.faulty_store import FaultyStore
from support.fetch import (
    CONTENT,
    MD5,
    TAR_PATH,
    VISIT,
    assert_fetched,
    in_store,
    leftovers,
    tarball_of,
)
from support.outputs import record

from icfqueue.core.errors import NotInStore, TarballChanged
from icfqueue.outputs.completeness import without_tarball
from icfqueue.steps import fetch
from icfqueue.steps.job import Job


@pytest.mark.parametrize("removed", [False, True])
def test_a_visit_that_is_complete_is_not_downloaded_again(
    web: FaultyStore, job: Job, removed: bool
) -> None:
    """Also when its metadata were removed: the deposit knows what it was made from."""
    record(job, CONTENT)
    if removed:
        for name in (VISIT.metadata_tarball, VISIT.metadata_dicoms):
            job.store.path(VISIT, name).unlink()
    assert without_tarball(job.store, job.visit, job.options)
    outcome = fetch.run(job)
    assert not outcome.worked
    assert (outcome.tar_bytes, outcome.tar_md5) == (len(CONTENT), MD5)
    assert outcome.refs == {"refs/heads/master": "a" * 40}
    assert "up to date" in outcome.note
    assert not tarball_of(job).exists()
    assert web.count("GET", TAR_PATH) == 0


@pytest.mark.parametrize("missing", ["refs", "repo_export", "metadata_tarball"])
def test_a_visit_that_lacks_an_output_is_downloaded(job: Job, missing: str) -> None:
    record(job, CONTENT)
    job.store.path(VISIT, getattr(VISIT, missing)).unlink()
    assert not without_tarball(job.store, job.visit, job.options)
    assert fetch.run(job).worked


def test_a_deposit_for_another_store_does_not_count(job: Job) -> None:
    record(job, CONTENT)
    moved = replace(job, options=replace(job.options, store_url="https://new.example.org"))
    assert not without_tarball(moved.store, moved.visit, moved.options)


@pytest.mark.parametrize("deposited", [True, False])
@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT[::-1]])
def test_a_changed_tarball_is_a_clear_failure_unless_forced(
    job: Job, deposited: bool, other: bytes
) -> None:
    record(job, other, deposited=deposited)
    with pytest.raises(TarballChanged, match="in the store; the outputs here") as caught:
        fetch.run(job)
    assert "--force" in caught.value.hint
    assert not tarball_of(job).exists()
    assert leftovers(job) == []
    forced = replace(job, options=replace(job.options, force=True))
    assert fetch.run(forced).worked
    assert_fetched(job)


def test_a_complete_visit_whose_tarball_is_gone_everywhere_is_not_up_to_date(
    web: FaultyStore, job: Job
) -> None:
    record(job, CONTENT)
    in_store(web).unlink()
    with pytest.raises(NotInStore):
        fetch.run(job)
