"""Step ``fetch``: when the store is asked, and what of its answer is believed.

Breaks, parts, refusals and a disk in trouble: ``tests/integration/fetch``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from support.faulty_store import FaultyStore
from support.guards import CountingGuard, LosingGuard
from support.outputs import record

from icfqueue.core.errors import (
    LeaseLost,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    PermanentError,
    TarballChanged,
    TransientError,
)
from icfqueue.core.plain_text import size
from icfqueue.core.visit import Visit
from icfqueue.remote.client import RemoteFile
from icfqueue.remote.partial_download import Note, Part
from icfqueue.steps import fetch
from icfqueue.steps.job import Job

V = Visit("study_1", "v")
CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    """A store that has the visit's tarball and its MD5, and asks for no password."""
    folder = tmp_path / "web" / V.project
    folder.mkdir(parents=True)
    (folder / V.tarball).write_bytes(CONTENT)
    (folder / V.md5sum).write_text(f"{MD5}  {V.tarball}\n")
    with FaultyStore(folder.parent, auth=False) as made:
        yield made


@pytest.fixture
def job(web: FaultyStore, make_job: Callable[..., Job]) -> Job:
    return replace(make_job(V.id, V.project, store_url=web.url), guard=CountingGuard())


def here(job: Job) -> Path:
    return job.store.path(V, V.tarball)


def test_a_tarball_appears_whole_and_every_byte_is_reported(job: Job) -> None:
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes, outcome.tar_md5) == (True, len(CONTENT), MD5)
    assert here(job).read_bytes() == CONTENT
    assert isinstance(job.guard, CountingGuard)
    assert job.guard.bytes == len(CONTENT)
    assert job.guard.asked == [V.tarball]


def test_a_tarball_that_is_here_is_used_and_nobody_asked(
    web: FaultyStore, job: Job
) -> None:
    here(job).write_bytes(b"any")
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes) == (False, 3)
    assert not web.seen


def test_what_is_no_tarball_in_its_place_is_a_clear_error(
    web: FaultyStore, job: Job
) -> None:
    here(job).mkdir()
    with pytest.raises(PermanentError, match="is not a file"):
        fetch.run(job)
    assert not web.seen


def test_of_a_complete_visit_only_size_and_md5_are_asked_for(
    web: FaultyStore, job: Job
) -> None:
    record(job, CONTENT)
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_md5, outcome.dicoms) == (False, MD5, 0)
    assert outcome.refs
    assert "up to date" in outcome.note
    assert not here(job).exists()
    assert web.count("GET", f"/{V.storepath}") == 0


def test_a_deposit_that_goes_while_it_is_looked_at_is_tried_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(job, CONTENT)
    monkeypatch.setattr(fetch, "whole_deposit", lambda *_: None)
    with pytest.raises(TransientError, match="went while it was looked at"):
        fetch.run(job)


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT[::-1]])
@pytest.mark.parametrize("complete", [True, False])
def test_another_tarball_than_the_recorded_one_is_refused_unless_forced(
    web: FaultyStore, job: Job, other: bytes, complete: bool
) -> None:
    """By size, or by the published MD5; complete, it is not even downloaded."""
    record(job, other, deposited=complete)
    with pytest.raises(TarballChanged, match=V.storepath) as caught:
        fetch.run(job)
    assert "--force" in caught.value.hint
    assert not here(job).exists()
    forced = replace(job, options=replace(job.options, force=True))
    assert fetch.run(forced).worked
    assert web.count("GET", f"/{V.storepath}") >= 1


def test_bytes_that_have_not_the_published_md5_are_thrown_away(
    web: FaultyStore, job: Job
) -> None:
    web.fail("wrong", path=f"/{V.storepath}", after=1000)
    with pytest.raises(NetworkTrouble, match=f"the store publishes {MD5}"):
        fetch.run(job)
    assert not here(job).exists()
    assert fetch.run(job).worked


def test_without_a_published_md5_none_is_claimed(web: FaultyStore, job: Job) -> None:
    (web.root / V.project / V.md5sum).unlink()
    outcome = fetch.run(job)
    assert (outcome.tar_bytes, outcome.tar_md5) == (len(CONTENT), None)


@pytest.mark.parametrize(("less", "fits"), [(0, False), (len(CONTENT) + (1 << 24), True)])
def test_room_is_looked_at_before_the_first_byte(
    job: Job, monkeypatch: pytest.MonkeyPatch, less: int, fits: bool
) -> None:
    """What is to stay free counts as taken."""
    room = 1 << 30
    monkeypatch.setattr(type(job.store), "room", lambda _: room)
    chosen = structs.replace(job.settings, keep_free=room - less)
    tight = replace(job, settings=chosen)
    if fits:
        assert fetch.run(tight).worked
        return
    with pytest.raises(NoRoom, match="no room for") as caught:
        fetch.run(tight)
    assert caught.value.size == len(CONTENT)
    assert "keep_free" in caught.value.hint
    assert not job.store.work_dir(V).exists()


def test_a_worker_that_lost_the_visit_publishes_nothing(job: Job) -> None:
    with pytest.raises(LeaseLost):
        fetch.run(replace(job, guard=LosingGuard()))
    assert not here(job).exists()
    assert not job.store.work_dir(V).exists()


@pytest.mark.parametrize(("received", "fits"), [(0, False), (400, False), (500, True)])
def test_what_is_here_already_counts_when_it_is_asked_whether_the_rest_fits(
    job: Job, monkeypatch: pytest.MonkeyPatch, received: int, fits: bool
) -> None:
    """Neither store nor broker is asked: a visit that waits for room costs nothing."""
    monkeypatch.setattr(type(job.store), "room", lambda _: 500)
    if received:
        job.store.make_dir(job.store.work_dir(V))
        part = Part(job.store.work_dir(V), Note(RemoteFile(1000)))
        part.write(b"x" * received)
        part.close()
    if fits:
        fetch.check_fits(job.store, job.settings, V, 1000)
        return
    with pytest.raises(NoRoom, match=f"{size(1000 - received)} to come, 500 bytes free"):
        fetch.check_fits(job.store, job.settings, V, 1000)


def test_what_is_to_be_streamed_is_asked_for_and_left_there(
    web: FaultyStore, job: Job
) -> None:
    streaming = replace(job, options=replace(job.options, stream=True))
    outcome = fetch.run(streaming)
    assert (outcome.worked, outcome.streamed, outcome.note) == (True, True, "streamed")
    assert (outcome.tar_bytes, outcome.tar_md5) == (len(CONTENT), None)
    assert {method for method, path, _ in web.seen if path.endswith(".tar")} == {"HEAD"}
    assert not here(job).exists()
    assert not job.store.work_dir(V).exists()
    (web.root / V.project / V.tarball).unlink()
    with pytest.raises(NotInStore):
        fetch.run(streaming)
