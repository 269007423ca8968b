"""Step ``update_catalog``: which visits are shown where, and how each fared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.datasets import put_metadata
from support.guards import CountingGuard, LosingGuard
from support.superdatasets import commit_of, look, put_deposit, remove_deposit

from icfqueue.catalog import study
from icfqueue.core.errors import LeaseLost, NotSeen, PermanentError
from icfqueue.core.options import Outcome
from icfqueue.dataset.superdataset import renewal
from icfqueue.steps import update_catalog
from icfqueue.steps.job import Job

URL = "https://data.example.org"
RECORD = {"path": "a", "md5": "0" * 32, "size": 1, "Modality": "MR"}


@pytest.fixture
def make(make_job: Callable[..., Job]) -> Callable[..., Job]:
    """Return a maker of jobs whose visit has metadata."""

    def made(name: str, **options: object) -> Job:
        job = make_job(name, **options)
        put_metadata(job, [RECORD])
        return job

    return made


def listed(job: Job) -> list[str]:
    found = study.listed(job.store, job.visit.project, job.options.store_url)
    return sorted(visit.id for visit in found)


def test_a_visit_has_its_page_and_is_listed_once(make: Callable[..., Job]) -> None:
    job = make("v1")
    assert update_catalog.run(job).worked
    assert study.has_page(job.store, job.visit, URL)
    assert listed(job) == ["v1"]
    assert not update_catalog.run(job).worked


def test_visits_for_which_no_catalog_was_asked_pass_it_by(
    make: Callable[..., Job],
) -> None:
    one, two = make("v1"), make("v2", catalog=False)
    results = update_catalog.run_batch([one, two])
    assert results[one.visit] == Outcome(worked=True)
    assert results[two.visit] == Outcome(False, note="no catalog was asked for")
    assert listed(one) == ["v1"]


def test_where_nobody_asked_for_a_catalog_none_is_made(make: Callable[..., Job]) -> None:
    job = make("v1", catalog=False)
    assert not update_catalog.run(job).worked
    assert not job.store.catalog_dir("study_1").exists()
    assert update_catalog.run_batch([]) == {}


def test_a_visit_without_metadata_fails_alone_and_its_own_error_is_raised(
    make: Callable[..., Job], make_job: Callable[..., Job]
) -> None:
    good, bad = make("good"), make_job("bad")
    results = update_catalog.run_batch([bad, good])
    assert isinstance(results[bad.visit], PermanentError)
    assert results[good.visit] == Outcome(worked=True)
    with pytest.raises(PermanentError, match="no metadata of study_1/bad"):
        update_catalog.run(bad)


def test_a_study_has_the_store_url_of_the_visit_that_came_last(
    make: Callable[..., Job],
) -> None:
    other = "https://other.example.org"
    old, new = make("v1"), make("v2", store_url=other)
    update_catalog.run_batch([old, new])
    assert listed(old) == []
    assert listed(new) == ["v1", "v2"]


def test_the_guard_of_the_batch_is_asked(make: Callable[..., Job]) -> None:
    guard = CountingGuard()
    jobs = [replace(make(name), guard=guard) for name in ("v1", "v2")]
    update_catalog.run_batch(jobs)
    assert guard.asked == ["series.parquet", "catalog"]
    assert guard.calls == 2
    lost = replace(make("v3"), guard=LosingGuard())
    with pytest.raises(LeaseLost):
        update_catalog.run_batch([lost])
    assert listed(lost) == ["v1", "v2"]


def links(job: Job) -> dict[str, str]:
    return look(job.store.project_dir(job.visit.project)).links


def test_all_that_is_deposited_is_in_the_superdataset(make: Callable[..., Job]) -> None:
    jobs = [make("v1"), make("v2", catalog=False), make("v3", superdataset=False)]
    for job in jobs:
        put_deposit(job.store, job.visit)
    results = update_catalog.run_batch(jobs)
    assert links(jobs[0]) == {job.visit.id: commit_of(job.visit) for job in jobs}
    # One of them passes the catalog by, and something was done for it all the same.
    note = "no catalog was asked for"
    assert results[jobs[1].visit] == Outcome(worked=True, note=note)
    again = update_catalog.run_batch(jobs)
    outcomes = [found for found in again.values() if isinstance(found, Outcome)]
    assert [found.worked for found in outcomes] == [False] * 3


def test_where_nobody_asked_for_a_superdataset_none_is_made(
    make: Callable[..., Job],
) -> None:
    job = make("v1", superdataset=False)
    put_deposit(job.store, job.visit)
    assert update_catalog.run(job).worked
    assert not renewal.exists(job.store, "study_1")


def test_a_visit_whose_page_fails_is_in_the_superdataset_if_it_is_deposited(
    make: Callable[..., Job], make_job: Callable[..., Job]
) -> None:
    good, bad = make("good"), make_job("bad")
    for job in (good, bad):
        put_deposit(job.store, job.visit)
    results = update_catalog.run_batch([good, bad])
    assert isinstance(results[bad.visit], PermanentError)
    assert links(good).keys() == {"good", "bad"}


def test_a_deposit_that_an_earlier_step_left_and_that_is_not_seen_is_waited_for(
    make: Callable[..., Job],
) -> None:
    """Nor is one seen that is older than what that step made."""
    job = replace(make("v1"), vouched=True)
    assert isinstance(update_catalog.run_batch([job])[job.visit], NotSeen)
    put_deposit(job.store, job.visit)
    stale = replace(job, md5="f" * 32)
    assert isinstance(update_catalog.run_batch([stale])[job.visit], NotSeen)
    assert isinstance(update_catalog.run_batch([job])[job.visit], Outcome)
    remove_deposit(job.store, job.visit)
    # By hand, and nobody says that it is there: it is not listed any more.
    assert update_catalog.run(replace(job, vouched=False)).worked
    assert links(job) == {}
