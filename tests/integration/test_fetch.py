"""Step ``fetch`` against a real HTTP store, a good one and a bad one."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.faulty_store import FaultyStore
from support.outputs import record

from icfqueue.core.errors import (
    AccessDenied,
    Cancelled,
    DiskTrouble,
    Interrupted,
    LeaseLost,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    PermanentError,
    StoreBusy,
    TarballChanged,
)
from icfqueue.core.guard import Watch
from icfqueue.core.visit import Visit
from icfqueue.remote import partial_download
from icfqueue.remote.download import RemoteFile
from icfqueue.remote.partial_download import Note, Part
from icfqueue.steps import fetch
from icfqueue.steps.job import Job
from icfqueue.store.directory import HIDDEN

VISIT = Visit("study_1", "v")
TAR = f"/{VISIT.storepath}"
CONTENT = random.Random(1).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
IMPATIENT = 0.8
"""Seconds without a byte after which a test's job gives up where a store stalls."""


class Counting(Watch):
    """Counts bytes, and raises `error` once `until` have come."""

    def __init__(self, error: Exception | None = None, until: int = 0) -> None:
        self.bytes = 0
        self.error, self.until = error, until
        self.published: list[str] = []

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:  # noqa: ARG002
        self.bytes += bytes
        if self.error and self.bytes > self.until:
            raise self.error

    def before_publish(self, name: str) -> None:
        self.published.append(name)
        if self.error:
            raise self.error


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    folder = tmp_path / "web" / VISIT.project
    folder.mkdir(parents=True)
    (folder / VISIT.tarball).write_bytes(CONTENT)
    (folder / VISIT.md5sum).write_text(f"{MD5}  {VISIT.tarball}\n")
    with FaultyStore(folder.parent) as web:
        for name, value in {
            "TYPE": "user_password",
            "REALM": f"{web.url}/{web.realm}",
            "USER": web.user,
            "SECRET": web.password,
        }.items():
            monkeypatch.setenv(f"DATALAD_CREDENTIAL_STORE_{name}", value)
        yield web


@pytest.fixture
def job(web: FaultyStore, make_job: Callable[..., Job]) -> Job:
    made = make_job(VISIT.id, VISIT.project, store_url=web.url)
    return replace(made, watch=Counting())


def impatient(job: Job) -> Job:
    quick = structs.replace(job.settings, read_timeout=IMPATIENT)
    return replace(job, settings=quick)


def here(job: Job) -> Path:
    return job.store.path(job.visit, job.visit.tarball)


def parts(job: Job) -> list[Path]:
    return partial_download._parts(job.store.work_dir(job.visit))


def litter(job: Job) -> list[str]:
    """What lies in the project's folder beside outputs."""
    folder = job.store.project_dir(job.visit.project)
    return [str(path) for path in folder.rglob("*") if HIDDEN in path.parts]


def assert_whole(job: Job) -> None:
    assert here(job).read_bytes() == CONTENT
    assert litter(job) == []


def test_a_tarball_is_downloaded_checked_and_published(web: FaultyStore, job: Job) -> None:
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes, outcome.tar_md5) == (True, len(CONTENT), MD5)
    assert_whole(job)
    assert isinstance(job.watch, Counting)
    assert job.watch.bytes == len(CONTENT)
    assert job.watch.published == [VISIT.tarball]
    assert web.count("GET", TAR) == 1


def test_a_tarball_that_is_here_is_used(web: FaultyStore, job: Job) -> None:
    here(job).write_bytes(b"mine")
    outcome = fetch.run(job)
    assert (outcome.worked, outcome.tar_bytes) == (False, 4)
    assert not web.seen


def test_without_a_published_md5_the_length_is_enough(web: FaultyStore, job: Job) -> None:
    (web.root / VISIT.project / VISIT.md5sum).unlink()
    assert fetch.run(job).tar_md5 is None
    assert_whole(job)


def test_an_empty_tarball_is_fetched_as_it_is(web: FaultyStore, job: Job) -> None:
    (web.root / VISIT.project / VISIT.tarball).write_bytes(b"")
    (web.root / VISIT.project / VISIT.md5sum).unlink()
    assert fetch.run(job).tar_bytes == 0
    assert here(job).read_bytes() == b""


@pytest.mark.parametrize("kind", ["dangling", "folder", "loop"])
def test_what_is_no_file_in_its_place_is_said_so(job: Job, kind: str) -> None:
    if kind == "folder":
        here(job).mkdir()
    else:
        here(job).symlink_to("nowhere" if kind == "dangling" else here(job).name)
    with pytest.raises(PermanentError, match=r"v_dicom\.tar is "):
        fetch.run(job)
    assert not here(job).is_file()


# Trouble that passes


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_a_download_that_breaks_off_is_resumed(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    """Each byte is sent once: the second try asks for the rest alone."""
    web.fail(kind, path=TAR, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(impatient(job) if kind == "stall" else job)
    assert not here(job).exists()
    (left,) = parts(job)
    have = left.stat().st_size
    assert have > 0
    web.clear()
    second = Counting()
    fetch.run(replace(job, watch=second))
    assert_whole(job)
    assert web.seen[-1][2]["Range"] == f"bytes={have}-"
    assert second.bytes == len(CONTENT) - have
    assert web.count("GET", TAR, 206) == 1


def test_many_breaks_are_no_obstacle(web: FaultyStore, job: Job) -> None:
    web.fail("cut", path=TAR, after=500_000, times=5)
    for _ in range(5):
        with pytest.raises(NetworkTrouble):
            fetch.run(job)
    fetch.run(job)
    assert_whole(job)
    assert isinstance(job.watch, Counting)
    assert job.watch.bytes == len(CONTENT)


def test_a_file_that_got_shorter_in_the_middle_is_noticed(
    web: FaultyStore, job: Job
) -> None:
    """Fewer bytes than announced are an error also without an MD5."""
    (web.root / VISIT.project / VISIT.md5sum).unlink()
    web.fail("cut", path=TAR, after=2_999_999)
    with pytest.raises(NetworkTrouble, match="ended 1 bytes before the length"):
        fetch.run(job)
    fetch.run(job)
    assert_whole(job)


@pytest.mark.parametrize("after", [0, 2_999_999])
def test_wrong_bytes_are_thrown_away(web: FaultyStore, job: Job, after: int) -> None:
    web.fail("wrong", path=TAR, after=after)
    with pytest.raises(NetworkTrouble, match=rf"[0-9a-f]{{32}}.* publishes {MD5}"):
        fetch.run(job)
    assert not here(job).exists()
    assert litter(job) == []
    fetch.run(job)
    assert_whole(job)


def test_wrong_bytes_before_a_break_are_noticed_after_it(
    web: FaultyStore, job: Job
) -> None:
    """The bytes of the first part are hashed too."""
    web.fail("cut", path=TAR, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    (left,) = parts(job)
    with left.open("r+b") as file:
        file.write(b"wrong")
    with pytest.raises(NetworkTrouble, match="publishes"):
        fetch.run(job)
    fetch.run(job)
    assert_whole(job)


def test_a_slow_store_is_waited_for(web: FaultyStore, job: Job) -> None:
    """As long as bytes come at all, the time between two reads counts, not the whole."""
    web.fail("slow", path=TAR, rate=3_000_000)
    began = time.monotonic()
    fetch.run(impatient(job))
    assert time.monotonic() - began > IMPATIENT
    assert_whole(job)


@pytest.mark.parametrize("path", [TAR, f"{TAR}.md5sum"])
def test_an_error_of_the_server_may_pass(web: FaultyStore, job: Job, path: str) -> None:
    web.fail("status", status=500, path=path)
    with pytest.raises(NetworkTrouble, match="answers 500"):
        fetch.run(job)
    assert litter(job) == []
    fetch.run(job)
    assert_whole(job)


def test_a_busy_store_is_told_apart(web: FaultyStore, job: Job) -> None:
    web.fail("status", status=503, headers={"Retry-After": "9"}, path=TAR)
    with pytest.raises(StoreBusy) as caught:
        fetch.run(job)
    assert caught.value.retry_after == 9


def test_a_store_that_stalls_before_it_answers_is_left(web: FaultyStore, job: Job) -> None:
    web.fail("stall", path=TAR)
    with pytest.raises(NetworkTrouble, match="in time"):
        fetch.run(impatient(job))


def test_a_store_that_is_away_is_network_trouble(web: FaultyStore, job: Job) -> None:
    web.close()
    with pytest.raises(NetworkTrouble, match="refused"):
        fetch.run(job)


# Servers that do not do ranges well


@pytest.mark.parametrize("kind", ["no_range", "range_not_satisfiable"])
def test_where_a_part_is_not_granted_the_download_starts_over(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    web.fail("cut", path=TAR, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    web.fail(kind, path=TAR)
    fetch.run(job)
    assert_whole(job)


def test_without_a_validator_nothing_is_resumed(web: FaultyStore, job: Job) -> None:
    web.fail("no_validators", path=TAR, times=None)
    with pytest.raises(Interrupted):
        fetch.run(replace(job, watch=Counting(Interrupted("stop"), 500_000)))
    fetch.run(job)
    assert_whole(job)
    assert all("Range" not in headers for *_, headers in web.seen)


def test_a_server_that_ignores_if_range_cannot_mix_two_tarballs(
    web: FaultyStore, job: Job
) -> None:
    (web.root / VISIT.project / VISIT.md5sum).unlink()
    web.fail("cut", path=TAR, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    other = CONTENT[::-1]
    (web.root / VISIT.project / VISIT.tarball).write_bytes(other)
    web.fail("no_if_range", path=TAR)
    fetch.run(job)
    assert here(job).read_bytes() == other
    assert web.count("GET", TAR, 206) == 1


def test_a_tarball_that_changed_between_two_tries_starts_over(
    web: FaultyStore, job: Job
) -> None:
    """The same length, other bytes: no mixture of the two appears."""
    web.fail("cut", path=TAR, after=1_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    other = CONTENT[::-1]
    (web.root / VISIT.project / VISIT.tarball).write_bytes(other)
    (web.root / VISIT.project / VISIT.md5sum).unlink()
    os.utime(web.root / VISIT.project / VISIT.tarball, (1, 1))
    fetch.run(job)
    assert here(job).read_bytes() == other
    assert web.count("GET", TAR, 206) == 0


@pytest.mark.parametrize("kind", ["no_length", "chunked"])
def test_a_tarball_of_unknown_length_is_refused(
    web: FaultyStore, job: Job, kind: Any
) -> None:
    web.fail(kind, path=TAR)
    with pytest.raises(PermanentError, match="without a usable Content-Length"):
        fetch.run(job)
    assert litter(job) == []


def test_a_page_to_log_in_is_no_tarball(web: FaultyStore, job: Job) -> None:
    web.fail("page", path=TAR)
    with pytest.raises(PermanentError, match="is a web page, not a tarball"):
        fetch.run(job)


# Trouble that does not pass


def test_without_access_the_visit_fails(
    web: FaultyStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALAD_CREDENTIAL_STORE_SECRET", "wrong")
    with pytest.raises(AccessDenied):
        fetch.run(job)
    assert web.count() == 2
    assert litter(job) == []


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDenied), (404, NotInStore)])
def test_a_refusal_is_permanent(
    web: FaultyStore, job: Job, status: int, kind: type[PermanentError]
) -> None:
    web.fail("status", status=status, path=TAR)
    with pytest.raises(kind):
        fetch.run(job)


# The disk


def test_room_is_checked_before_the_download(job: Job) -> None:
    greedy = structs.replace(job.settings, keep_free=1 << 60)
    with pytest.raises(NoRoom, match=f"no room for .*: {len(CONTENT)} bytes to come") as e:
        fetch.run(replace(job, settings=greedy))
    assert e.value.size == len(CONTENT)
    assert litter(job) == []


def test_what_is_here_needs_no_more_room(web: FaultyStore, job: Job) -> None:
    """Of a part that is kept only the rest must fit, and it stays until that does."""
    web.fail("cut", path=TAR, after=2_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    (left,) = parts(job)
    here_already = left.stat().st_size

    class Asked(Counting):
        def promise_room(self, size: int, free: Callable[[], int]) -> int | None:
            asked.append((size, free() > 0))
            return 7 if len(asked) == 1 else None

    asked: list[tuple[int, bool]] = []
    with pytest.raises(NoRoom, match="and 7 are promised to other downloads"):
        fetch.run(replace(job, watch=Asked()))
    assert parts(job)[0].stat().st_size == here_already
    assert partial_download.kept(job.store.work_dir(VISIT)) == here_already
    fetch.check_fits(job.store, job.settings, VISIT, len(CONTENT))
    fetch.run(replace(job, watch=Asked()))
    assert asked == [(len(CONTENT) - here_already, True)] * 2
    assert_whole(job)


def test_a_part_that_is_of_no_use_makes_room_before_it_is_asked_for(
    web: FaultyStore, job: Job
) -> None:
    web.fail("cut", path=TAR, after=2_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)

    class Asked(Counting):
        def promise_room(self, size: int, free: Callable[[], int]) -> int | None:
            assert [path.stat().st_size for path in parts(job)] == [0]
            return super().promise_room(size, free)

    web.fail("no_range", path=TAR)
    fetch.run(replace(job, watch=Asked()))
    assert_whole(job)


def test_what_cannot_fit_is_known_without_asking(job: Job) -> None:
    room = fetch.free_room(job.store, job.settings)
    with pytest.raises(NoRoom) as caught:
        fetch.check_fits(job.store, job.settings, VISIT, room + (1 << 40))
    assert caught.value.size == room + (1 << 40)


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
    assert litter(job) == []
    fetch.run(job)
    assert_whole(job)


# Other workers


@pytest.mark.parametrize(
    ("error", "kept"),
    [(Interrupted("stop"), True), (LeaseLost("gone"), False), (Cancelled("no"), False)],
)
def test_a_part_is_kept_for_a_visit_that_goes_on(
    job: Job, error: Exception, kept: bool
) -> None:
    with pytest.raises(type(error)):
        fetch.run(replace(job, watch=Counting(error, 500_000)))
    assert not here(job).exists()
    assert bool(litter(job)) is kept
    fetch.run(job)
    assert_whole(job)


def test_a_worker_that_lost_the_visit_publishes_nothing(job: Job) -> None:
    with pytest.raises(LeaseLost):
        fetch.run(replace(job, watch=Counting(LeaseLost("gone"), len(CONTENT))))
    assert not here(job).exists()
    assert litter(job) == []


def test_a_worker_that_wakes_up_cannot_spoil_its_successors_part(
    web: FaultyStore, job: Job
) -> None:
    """A zombie holds its part open while another worker continues from it."""
    work = job.store.work_dir(VISIT)
    job.store.make_dir(work)
    etag = _etag(web)
    file = RemoteFile(len(CONTENT), etag)
    zombie = Part(work, Note(file))
    zombie.write(CONTENT[:1_000_000])
    zombie._mark()
    assert zombie._marking is not None
    zombie._marking.result()
    zombie.write(CONTENT[1_000_000:1_500_000])  # not marked: may not be on disk

    class Waking(Counting):
        def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:  # noqa: ARG002
            super().advance(bytes=bytes)
            zombie.write(b"brains" * 100)

    watch = Waking()
    fetch.run(replace(job, watch=watch))
    assert here(job).read_bytes() == CONTENT
    assert watch.bytes == len(CONTENT) - 1_000_000
    zombie.close()
    assert partial_download.take_over(work, lambda: None, lambda _: True) is None
    assert here(job).read_bytes() == CONTENT


def test_a_worker_that_died_unmarked_leaves_nothing_to_use(
    web: FaultyStore, job: Job
) -> None:
    work = job.store.work_dir(VISIT)
    job.store.make_dir(work)
    dead = Part(work, Note(RemoteFile(len(CONTENT), _etag(web))))
    dead.write(b"x" * 1_000_000)
    dead._file.close()
    (work / "part-0000").write_bytes(b"no note")
    (work / "part-1111.json").write_text("no part")
    fetch.run(job)
    assert_whole(job)


def test_a_part_that_was_complete_is_not_downloaded_again(job: Job) -> None:
    """A worker was stopped right before publishing: one byte is asked for again."""
    with pytest.raises(Interrupted):
        fetch.run(replace(job, watch=Counting(Interrupted("stop"), len(CONTENT))))
    watch = Counting()
    fetch.run(replace(job, watch=watch))
    assert_whole(job)
    assert watch.bytes == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from icfqueue.remote import partial_download
from icfqueue.steps import fetch
from icfqueue.steps.job import Job, Options
from icfqueue.core.settings import Settings
from icfqueue.store.directory import Store
from icfqueue.core.visit import Visit
from icfqueue.core.guard import Watch

partial_download.MARK = 500_000

class Fatal(Watch):
    seen = 0
    def advance(self, *, bytes=0, dicoms=0):
        self.seen += bytes
        if self.seen > 2_000_000:
            os.kill(os.getpid(), signal.SIGKILL)

root = Path(sys.argv[1])
settings = Settings(store_dir=root, keep_free=0)
fetch.run(Job(Visit("study_1", "v"), Options(sys.argv[2]), Store(root), settings, Fatal()))
"""


def test_what_a_killed_worker_had_received_is_continued(web: FaultyStore, job: Job) -> None:
    """By SIGKILL in mid-download: what it had marked as on disk need not come again."""
    web.fail("slow", path=TAR, rate=4_000_000)
    command = [sys.executable, "-c", KILLED, str(job.store.root), web.url]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (left,) = parts(job)
    note = Note.read(partial_download._note_of(left))
    assert note is not None
    assert not note.closed
    assert 500_000 <= note.have <= left.stat().st_size
    fetch.run(job)
    assert_whole(job)
    assert isinstance(job.watch, Counting)
    assert job.watch.bytes == len(CONTENT) - note.have


def _etag(web: FaultyStore) -> str:
    from icfqueue.demo.server import validators

    about = (web.root / VISIT.project / VISIT.tarball).stat()
    return validators(about.st_size, about.st_mtime_ns)["ETag"]


# Outputs that are there already


@pytest.mark.parametrize("removed", [False, True])
def test_a_visit_that_is_complete_is_not_downloaded_again(
    web: FaultyStore, job: Job, removed: bool
) -> None:
    """Also when its metadata were removed: the deposit knows what it was made from."""
    record(job, CONTENT)
    if removed:
        for name in (VISIT.metadata_tarball, VISIT.metadata_dicoms):
            job.store.path(VISIT, name).unlink()
    assert fetch.complete_without_tarball(job)
    outcome = fetch.run(job)
    assert not outcome.worked
    assert (outcome.tar_bytes, outcome.tar_md5) == (len(CONTENT), MD5)
    assert outcome.refs == {"refs/heads/master": "a" * 40}
    assert "up to date" in outcome.note
    assert not here(job).exists()
    assert web.count("GET", TAR) == 0


@pytest.mark.parametrize("missing", ["refs", "repo_export", "metadata_tarball"])
def test_a_visit_that_lacks_an_output_is_downloaded(job: Job, missing: str) -> None:
    record(job, CONTENT)
    job.store.path(VISIT, getattr(VISIT, missing)).unlink()
    assert not fetch.complete_without_tarball(job)
    assert fetch.run(job).worked


def test_a_deposit_for_another_store_does_not_count(job: Job) -> None:
    record(job, CONTENT)
    moved = replace(job, options=replace(job.options, store_url="https://new.example.org"))
    assert not fetch.complete_without_tarball(moved)


@pytest.mark.parametrize("deposited", [True, False])
@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT[::-1]])
def test_a_changed_tarball_is_a_clear_failure_unless_forced(
    job: Job, deposited: bool, other: bytes
) -> None:
    record(job, other, deposited=deposited)
    with pytest.raises(TarballChanged, match="in the store; the outputs here") as caught:
        fetch.run(job)
    assert "--force" in caught.value.hint
    assert not here(job).exists()
    assert litter(job) == []
    forced = replace(job, options=replace(job.options, force=True))
    assert fetch.run(forced).worked
    assert_whole(job)


def test_a_complete_visit_whose_tarball_is_gone_everywhere_is_not_up_to_date(
    web: FaultyStore, job: Job
) -> None:
    record(job, CONTENT)
    (web.root / VISIT.project / VISIT.tarball).unlink()
    with pytest.raises(NotInStore):
        fetch.run(job)
