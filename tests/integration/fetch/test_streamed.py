"""A tarball that is read as it comes: nothing of it is written, all outputs are the same.

The steps `fetch` and `index_tar` together, with the others behind them; breaks of the
connection one by one: ``tests/unit/remote/streaming``.
"""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHARED_DATA
from msgspec import structs
from support.faulty_store import FaultyStore
from support.fetch import impatient
from support.guards import CountingGuard
from support.streams import outputs, put_md5, run_steps, stream

from benchmarks.identifiers import LATIN, Person, image
from icfqueue.core.errors import (
    AccessDenied,
    BadTarball,
    Cancelled,
    DiskTrouble,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    StoreBusy,
    TarballChanged,
    TarballTouched,
)
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project, members_of_visit, shipped, write_tar
from icfqueue.outputs import tarball_index
from icfqueue.remote.partial_download import Note, Part, RemoteFile
from icfqueue.remote.streaming import body
from icfqueue.steps import export_repo, fetch, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.tarball.scan import Counted

PROJECT = "study_1"
MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def web_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One visit of the demo, and the institute's two real ones where they are."""
    root = tmp_path_factory.mktemp("web")
    build_project(root, PROJECT, 1)
    for packed in SHARED_DATA.glob("*_dicom.tar.xz"):
        tarball = root / PROJECT / packed.name.removesuffix(".xz")
        with lzma.open(packed) as source, tarball.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        put_md5(tarball)
    return root


VISITS = (
    "visit_01",
    *(path.name.removesuffix("_dicom.tar.xz") for path in SHARED_DATA.glob("*.tar.xz")),
)


@pytest.fixture
def web(web_root: Path) -> Iterator[FaultyStore]:
    with FaultyStore(web_root, auth=False) as made:
        yield made


@pytest.fixture
def own_web(web_root: Path, tmp_path: Path) -> Iterator[FaultyStore]:
    """A store with the demo's visit alone, for tests that change it."""
    folder = tmp_path / "web" / PROJECT
    folder.mkdir(parents=True)
    for path in (web_root / PROJECT).glob("visit_01_*"):
        shutil.copy(path, folder)
    with FaultyStore(folder.parent, auth=False) as made:
        yield made


@pytest.fixture
def job(own_web: FaultyStore, make_job: MakeJob) -> Job:
    made = make_job("visit_01", PROJECT, store_url=own_web.url, stream=True)
    return replace(made, guard=CountingGuard())


def path_of(visit: str = "visit_01") -> str:
    return f"/{Visit(PROJECT, visit).storepath}"


def index(job: Job) -> None:
    """Do both steps."""
    outcome = fetch.run(job)
    assert outcome.streamed
    index_tar.run(replace(job, streamed=True))


def check_nothing_left(job: Job) -> None:
    """Fail unless the project's folder is as empty as it was."""
    folder = job.store.project_dir(PROJECT)
    assert [str(path) for path in folder.rglob("*") if HIDDEN not in path.parts] == []
    assert not list(folder.glob(f"{HIDDEN}/*/*"))


@pytest.mark.parametrize("visit", VISITS)
def test_what_is_made_of_a_stream_is_what_is_made_of_the_file(
    web: FaultyStore, make_job: MakeJob, visit: str, tmp_path: Path
) -> None:
    """Byte for byte, dataset and catalog included; though it breaks off now and then."""
    local = make_job(visit, PROJECT, store_url=web.url)
    shutil.copy(web.root / PROJECT / local.visit.tarball, local.store.project_dir(PROJECT))
    run_steps(local)
    expected = outputs(local.store.project_dir(PROJECT))
    local.store.project_dir(PROJECT).rename(tmp_path / "local")

    size = (web.root / PROJECT / local.visit.tarball).stat().st_size
    web.fail("cut", path=path_of(visit), method="GET", after=size // 7, times=None)
    job = replace(make_job(visit, PROJECT, store_url=web.url), guard=CountingGuard())
    done = run_steps(stream(job))
    folder = job.store.project_dir(PROJECT)
    assert outputs(folder) == expected
    assert not (folder / job.visit.tarball).exists()
    assert [outcome.streamed for outcome in done[:2]] == [True, True]
    assert (done[0].note, done[0].tar_bytes) == ("streamed", size)
    assert isinstance(job.guard, CountingGuard)
    # Each byte of the tarball comes once; that of the outputs is not the network's.
    assert web.count("GET", path_of(visit), 206) in {7, 8}
    assert web.count("HEAD", path_of(visit)) == 1


def test_fetch_only_asks_and_index_tar_counts_every_byte(
    own_web: FaultyStore, job: Job
) -> None:
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.streamed, outcome.tar_md5) == (True, True, None)
    assert own_web.count("GET", path_of()) == 0
    assert isinstance(job.guard, CountingGuard)
    assert job.guard.bytes == 0
    found = index_tar.run(replace(job, streamed=True))
    assert job.guard.bytes == found.tar_bytes == outcome.tar_bytes
    assert found.fingerprint is None


def test_a_tarball_that_is_here_is_used(own_web: FaultyStore, job: Job) -> None:
    """Before `fetch`, and if it appears behind it."""
    assert fetch.run(job).streamed
    shutil.copy(own_web.root / PROJECT / job.visit.tarball, job.store.project_dir(PROJECT))
    found = index_tar.run(replace(job, streamed=True))
    assert (found.streamed, bool(found.fingerprint)) == (False, True)
    assert not fetch.run(job).streamed
    assert own_web.count("GET", path_of()) == 0


def test_who_was_not_told_to_stream_streams_nothing(job: Job) -> None:
    """A tarball that another machine has just copied here may not be seen yet."""
    with pytest.raises(NotInStore):
        index_tar.run(job)


def test_a_download_that_was_begun_before_makes_room(job: Job) -> None:
    job.store.make_dir(job.store.work_dir(job.visit))
    part = Part(job.store.work_dir(job.visit), Note(RemoteFile(1000)))
    part.write(b"x" * 100)
    part.close()
    index(job)
    assert not list(job.store.work_dir(job.visit).glob("part-*"))


def test_a_visit_that_is_complete_is_not_streamed_again(
    own_web: FaultyStore, job: Job
) -> None:
    run_steps(job)
    own_web.requests.clear()
    outcome = fetch.run(job)
    assert "up to date" in outcome.note
    assert not outcome.streamed
    assert own_web.count("GET", path_of()) == 0
    forced = replace(job, options=replace(job.options, force=True))
    before = outputs(job.store.project_dir(PROJECT))
    run_steps(forced)
    assert own_web.count("GET", path_of()) == 1
    assert outputs(job.store.project_dir(PROJECT)) == before


@pytest.mark.parametrize("moment", ["before", "behind fetch", "without md5"])
def test_another_tarball_than_the_recorded_one_is_refused_unless_forced(
    own_web: FaultyStore, job: Job, moment: str
) -> None:
    """By size or MD5 before a byte comes; else by the MD5 of what came."""
    run_steps(job)
    job.store.path(job.visit, job.visit.refs).unlink()
    before = outputs(job.store.project_dir(PROJECT))
    tarball = own_web.root / PROJECT / job.visit.tarball
    if moment == "behind fetch":
        fetch.run(job)
    changed = bytearray(tarball.read_bytes())
    changed[2000] ^= 1
    tarball.write_bytes(changed)
    put_md5(tarball)
    if moment == "without md5":
        tarball.with_name(f"{tarball.name}.md5sum").unlink()
        assert fetch.run(job).streamed
    step = fetch if moment == "before" else index_tar
    with pytest.raises(TarballChanged, match="has the MD5"):
        step.run(replace(job, streamed=True))
    assert outputs(job.store.project_dir(PROJECT)) == before
    run_steps(replace(job, options=replace(job.options, force=True)))
    assert outputs(job.store.project_dir(PROJECT)) != before


def test_what_a_worker_left_that_died_behind_the_step_is_used(
    own_web: FaultyStore, job: Job
) -> None:
    """If the store still has that very tarball, by ETag, size and MD5."""
    index(job)
    assert not index_tar.run(replace(job, streamed=True)).worked
    assert own_web.count("GET", path_of()) == 1
    os.utime(own_web.root / PROJECT / job.visit.tarball, (1, 1))
    assert index_tar.run(replace(job, streamed=True)).worked
    assert own_web.count("GET", path_of()) == 2


def test_without_an_etag_it_is_read_again(own_web: FaultyStore, job: Job) -> None:
    """A date tells seconds: another tarball may have come within one."""
    own_web.fail("no_validators", path=path_of(), times=None)
    index(job)
    assert index_tar.run(replace(job, streamed=True)).worked


# A store that does not do well


@pytest.mark.parametrize("after", [0, 700, 9_000])
@pytest.mark.parametrize("published", [True, False])
def test_wrong_bytes_appear_nowhere_where_their_md5_is_published(
    own_web: FaultyStore, job: Job, after: int, published: bool
) -> None:
    """Also where they are what makes the tar a bad one: it is not the visit's fault."""
    tarball = own_web.root / PROJECT / job.visit.tarball
    if not published:
        tarball.with_name(f"{tarball.name}.md5sum").unlink()
    own_web.fail("wrong", path=path_of(), method="GET", after=after)
    if published:
        with pytest.raises(NetworkTrouble, match="the store publishes") as caught:
            index(job)
        assert caught.value.cause == "checksum"
        check_nothing_left(job)
    elif after == 0:
        with pytest.raises(BadTarball):
            index(job)
        check_nothing_left(job)
    own_web.clear()
    index(job)


def test_a_bad_tarball_with_the_right_md5_is_the_visits_fault(
    own_web: FaultyStore, job: Job
) -> None:
    """It is read to its end, to know."""
    tarball = own_web.root / PROJECT / job.visit.tarball
    tarball.write_bytes(b"no tar" * 100_000)
    put_md5(tarball)
    with pytest.raises(BadTarball, match="is no tarball") as failed:
        index(job)
    # There is no file to which anything could be done.
    assert "--no-stream" in failed.value.hint
    assert isinstance(job.guard, CountingGuard)
    assert job.guard.bytes == 600_000
    check_nothing_left(job)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_byte_less_or_more_is_noticed(
    own_web: FaultyStore, job: Job, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the store's file has it, or its connection."""
    monkeypatch.setattr(body, "PAUSES", (0.0, 0.0))
    tarball = own_web.root / PROJECT / job.visit.tarball
    content = tarball.read_bytes()
    tarball.write_bytes(content[:-1] if more < 0 else content + b"\0")
    with pytest.raises(NetworkTrouble, match="the store publishes"):
        index(job)
    check_nothing_left(job)
    tarball.write_bytes(content)
    own_web.fail("cut", path=path_of(), method="GET", after=len(content) - 1)
    index(job)
    assert own_web.count("GET", path_of(), 206) == 1


MIDDLE: dict[str, tuple[list[dict[str, object]], type[StepError] | None]] = {
    "stall": ([{"kind": "stall", "after": 5000}], None),
    "200 to a Range": ([{"kind": "no_range", "times": None}], NetworkTrouble),
    "401": ([{"kind": "status", "status": 401}], AccessDenied),
    "404": ([{"kind": "status", "status": 404}], NotInStore),
    "503, soon": (
        [{"kind": "status", "status": 503, "headers": {"Retry-After": "1"}}],
        None,
    ),
    "503, late": (
        [{"kind": "status", "status": 503, "headers": {"Retry-After": "99"}}],
        StoreBusy,
    ),
    "503, no word": ([{"kind": "status", "status": 503}], None),
}


@pytest.mark.parametrize("what", MIDDLE)
def test_what_comes_in_the_middle_is_survived_or_ends_the_step_and_leaves_nothing(
    own_web: FaultyStore, job: Job, what: str
) -> None:
    faults, error = MIDDLE[what]
    outcome = fetch.run(job)
    own_web.fail("cut", path=path_of(), after=9_000)
    for fault in faults:
        own_web.fail(path=path_of(), **fault)  # type: ignore[arg-type]  # one dict for all
    if error is None:
        found = index_tar.run(replace(impatient(job), streamed=True))
        assert found.tar_bytes == outcome.tar_bytes
        return
    with pytest.raises(error):
        index_tar.run(replace(job, streamed=True))
    check_nothing_left(job)
    own_web.clear()
    index(job)


def test_a_tarball_that_is_replaced_in_the_middle_is_read_anew(
    own_web: FaultyStore, job: Job
) -> None:
    """No mixture of the two appears."""
    tarball = own_web.root / PROJECT / job.visit.tarball

    class Replacing(CountingGuard):
        """Replaces it once the first bytes are here."""

        def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
            if not self.calls:
                files = shipped("dicomdirtests/98892001")
                write_tar(tarball, members_of_visit(job.visit, files))
                put_md5(tarball)
            super().advance(bytes=bytes, dicoms=dicoms)

    own_web.fail("cut", path=path_of(), method="GET", after=9_000)
    with pytest.raises(TarballTouched, match="was replaced"):
        index(replace(job, guard=Replacing()))
    check_nothing_left(job)
    index(job)
    write_json.run(job)
    told = job.store.path(job.visit, job.visit.metadata_tarball).read_text()
    assert hashlib.md5(tarball.read_bytes()).hexdigest() in told


# The worker, and its disk


def test_what_is_cancelled_leaves_nothing(own_web: FaultyStore, job: Job) -> None:
    class Cancelling(CountingGuard):
        def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
            super().advance(bytes=bytes, dicoms=dicoms)
            if self.calls > 2:
                raise Cancelled("by a person")

    own_web.fail("cut", path=path_of(), method="GET", after=2_000, times=None)
    with pytest.raises(Cancelled):
        index(replace(job, guard=Cancelling()))
    check_nothing_left(job)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_in_trouble_leaves_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code), "dicoms.json")

    with monkeypatch.context() as patch:
        patch.setattr(Counted, "write", fail)
        with pytest.raises(DiskTrouble, match="indexing"):
            index(job)
    check_nothing_left(job)
    index(job)


def test_a_file_that_appears_later_is_not_what_was_read(
    own_web: FaultyStore, job: Job
) -> None:
    """The metadata are those of what was read; the next look compares the two."""
    index(job)
    tarball = job.store.path(job.visit, job.visit.tarball)
    tarball.write_bytes(b"another")
    write_json.run(job)
    tarball.unlink()
    export_repo.run(job)
    assert fetch.run(job).note.startswith("up to date")
    tarball.write_bytes(b"another")
    with pytest.raises(TarballChanged):
        index_tar.run(job)
    assert own_web.count("GET", path_of()) == 1


def test_one_that_tells_who_a_person_is_is_held_and_leaves_nothing(
    own_web: FaultyStore, job: Job
) -> None:
    """Accepted, it goes on; the remedy names no file, for there is none."""
    content = image(Person(LATIN, "Placeholder^Jane"), "t1")
    tarball = Path(own_web.root) / Visit(PROJECT, "visit_01").storepath
    write_tar(tarball, [("study_1_visit_01/jane/1.dcm", content)])
    put_md5(tarball)
    held = replace(job, settings=structs.replace(job.settings, identifiers="hold"))
    with pytest.raises(PermanentError, match=r"in 1 path \(name\)") as caught:
        index(held)
    assert caught.value.identifiers == Identifiers(1, 0, ("name",))
    assert "tar -tf" not in caught.value.hint
    check_nothing_left(job)
    index(replace(held, identifiers=Identifiers(1, 0, ("name",), "ada", 1.0)))
    assert tarball_index.read(job.store, job.visit) is not None
