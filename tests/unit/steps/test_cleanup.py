"""Step ``cleanup`` removes what was asked for, when nothing is lost by it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.faulty_store import FaultyStore
from support.guards import LosingGuard, MeddlingGuard
from support.outputs import record

from icfqueue.core.errors import (
    AccessDenied,
    LeaseLost,
    NetworkTrouble,
    NotInStore,
    NotSeen,
    PermanentError,
    StoreBusy,
)
from icfqueue.core.visit import Visit
from icfqueue.outputs.completeness import without_tarball
from icfqueue.steps import cleanup, fetch
from icfqueue.steps.job import Job

VISIT = Visit("study_1", "v")
CONTENT = b"tarball" * 1000
OUTPUTS = {VISIT.refs, VISIT.repo_export}
METADATA = {VISIT.metadata_tarball, VISIT.metadata_dicoms}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    folder = tmp_path / "web" / VISIT.project
    folder.mkdir(parents=True)
    (folder / VISIT.tarball).write_bytes(CONTENT)
    with FaultyStore(folder.parent, auth=False) as web:
        yield web


@pytest.fixture
def job(web: FaultyStore, make_job: Callable[..., Job]) -> Job:
    """A visit with every output, its tarball, and a neighbour; all is to be removed."""
    made = make_job(
        VISIT.id,
        VISIT.project,
        store_url=web.url,
        remove_tarball=True,
        remove_metadata=True,
    )
    folder = made.store.project_dir(VISIT.project)
    (folder / VISIT.tarball).write_bytes(CONTENT)
    for name in ("v2_dicom.tar", "v2_metadata_tarball.json", ".icfqueue/v2/index.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("neighbour")
    made.store.make_dir(made.store.work_dir(VISIT))
    (made.store.work_dir(VISIT) / "index.json").touch()
    record(made, CONTENT)
    return made


def asked(job: Job, **options: Any) -> Job:
    none = {"remove_tarball": False, "remove_metadata": False}
    return replace(job, options=replace(job.options, **{**none, **options}))


def left(job: Job) -> set[str]:
    """The visit's files; the neighbour's must all be there."""
    folder = job.store.project_dir(VISIT.project)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    neighbour = {"v2_dicom.tar", "v2_metadata_tarball.json", ".icfqueue/v2/index.json"}
    assert neighbour <= found
    return found - neighbour


def test_only_the_work_folder_goes_unless_more_is_asked_for(job: Job) -> None:
    assert not cleanup.run(asked(job)).worked
    assert left(job) == {VISIT.tarball} | METADATA | OUTPUTS


def test_the_tarball_goes_when_the_store_has_it(job: Job) -> None:
    outcome = cleanup.run(asked(job, remove_tarball=True))
    assert (outcome.worked, outcome.note) == (True, "removed: tarball")
    assert left(job) == METADATA | OUTPUTS


def test_the_metadata_go_when_the_deposit_is_whole(job: Job) -> None:
    assert cleanup.run(asked(job, remove_metadata=True)).note == "removed: metadata"
    assert left(job) == {VISIT.tarball} | OUTPUTS


def test_both_go_and_the_visit_stays_up_to_date(job: Job) -> None:
    assert cleanup.run(job).note == "removed: tarball, metadata"
    assert left(job) == OUTPUTS
    assert not cleanup.run(job).worked
    assert "up to date" in fetch.run(job).note


def test_a_removal_that_was_interrupted_is_completed(job: Job) -> None:
    """The tarball's metadata went; the other file follows, the visit needs no tarball."""

    def lose() -> None:
        raise LeaseLost("gone")

    losing = MeddlingGuard(lose, before=VISIT.metadata_dicoms)
    with pytest.raises(LeaseLost):
        cleanup.run(replace(job, guard=losing))
    assert left(job) == {VISIT.metadata_dicoms} | OUTPUTS
    assert without_tarball(job.store, VISIT, job.options)
    cleanup.run(job)
    assert left(job) == OUTPUTS


@pytest.mark.parametrize("published", [True, False])
def test_a_published_md5_is_compared_too(
    web: FaultyStore, job: Job, published: bool
) -> None:
    md5 = hashlib.md5(CONTENT if published else b"other").hexdigest()
    (web.root / VISIT.project / VISIT.md5sum).write_text(f"{md5}  {VISIT.tarball}\n")
    if published:
        cleanup.run(job)
    else:
        with pytest.raises(PermanentError, match=f"the store publishes {md5}"):
            cleanup.run(job)
    assert (VISIT.tarball in left(job)) is not published


def test_a_tarball_that_the_store_does_not_have_is_kept(web: FaultyStore, job: Job) -> None:
    (web.root / VISIT.project / VISIT.tarball).unlink()
    with pytest.raises(NotInStore, match=r"v_dicom\.tar was kept: .* 404"):
        cleanup.run(job)
    assert left(job) == {VISIT.tarball} | METADATA | OUTPUTS


def test_a_tarball_of_another_size_in_the_store_is_kept(web: FaultyStore, job: Job) -> None:
    (web.root / VISIT.project / VISIT.tarball).write_bytes(CONTENT + b"x")
    with pytest.raises(PermanentError, match=r"was kept: it has 7000 bytes, .* 7001"):
        cleanup.run(job)
    assert VISIT.tarball in left(job)


def test_a_tarball_whose_size_the_store_does_not_tell_is_kept(
    web: FaultyStore, job: Job
) -> None:
    web.fail("no_length", method="HEAD")
    with pytest.raises(PermanentError, match="an unknown number"):
        cleanup.run(job)
    assert VISIT.tarball in left(job)


@pytest.mark.parametrize(
    ("status", "kind"), [(500, NetworkTrouble), (503, StoreBusy), (403, AccessDenied)]
)
def test_a_store_that_cannot_be_asked_removes_nothing(
    web: FaultyStore, job: Job, status: int, kind: type[Exception]
) -> None:
    web.fail("status", status=status)
    with pytest.raises(kind):
        cleanup.run(job)
    assert left(job) == {VISIT.tarball} | METADATA | OUTPUTS


@pytest.mark.parametrize("missing", sorted(OUTPUTS))
@pytest.mark.parametrize("what", ["remove_tarball", "remove_metadata"])
def test_without_a_whole_deposit_nothing_is_removed(
    job: Job, what: str, missing: str
) -> None:
    job.store.path(VISIT, missing).unlink()
    with pytest.raises(PermanentError, match="was kept: there is no deposit"):
        cleanup.run(asked(job, **{what: True}))
    assert left(job) == {VISIT.tarball} | METADATA | OUTPUTS - {missing}


def test_a_deposit_of_other_metadata_stands_for_nothing(job: Job) -> None:
    job.store.path(VISIT, VISIT.metadata_dicoms).write_text('[{"path": "new"}]')
    with pytest.raises(PermanentError, match="no deposit that was made from it"):
        cleanup.run(job)
    assert left(job) == {VISIT.tarball} | METADATA | OUTPUTS


def test_a_tarball_that_was_replaced_since_it_was_indexed_is_kept(job: Job) -> None:
    """The same size, an old date: it is read again, for it was touched later."""
    tarball = job.store.path(VISIT, VISIT.tarball)
    tarball.write_bytes(CONTENT[::-1])
    os.utime(tarball, (1, 1))
    with pytest.raises(PermanentError, match="it has the MD5"):
        cleanup.run(job)
    assert tarball.exists()


def test_a_tarball_that_was_only_touched_is_removed(job: Job) -> None:
    job.store.path(VISIT, VISIT.tarball).touch()
    assert cleanup.run(job).worked


def test_a_worker_that_lost_the_visit_removes_nothing(job: Job) -> None:
    with pytest.raises(LeaseLost):
        cleanup.run(replace(job, guard=LosingGuard()))
    everything = {VISIT.tarball, ".icfqueue/v/index.json"} | METADATA | OUTPUTS
    assert left(job) == everything


def test_a_deposit_that_is_not_seen_is_waited_for_and_no_output_removed(job: Job) -> None:
    for name in OUTPUTS:
        job.store.path(VISIT, name).unlink()
    before = left(job)
    with pytest.raises(NotSeen, match="was kept"):
        cleanup.run(replace(job, vouched=True))
    assert left(job) == before - {f".icfqueue/{VISIT.id}/index.json"}
