"""What one worker received of a tarball serves the next one, and no other can spoil it."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from support.faulty_store import FaultyStore
from support.fetch import (
    CONTENT,
    TAR_PATH,
    VISIT,
    BreakingGuard,
    assert_fetched,
    bytes_counted,
    etag,
    leftovers,
    parts_of,
    tarball_of,
)
from support.guards import CountingGuard

from icfqueue.core.errors import Cancelled, Interrupted, LeaseLost
from icfqueue.remote import partial_download
from icfqueue.remote.download import RemoteFile
from icfqueue.remote.partial_download import Note, Part
from icfqueue.steps import fetch
from icfqueue.steps.job import Job


@pytest.mark.parametrize(
    ("error", "kept"),
    [(Interrupted("stop"), True), (LeaseLost("gone"), False), (Cancelled("no"), False)],
)
def test_a_part_is_kept_for_a_visit_that_goes_on(
    job: Job, error: Exception, kept: bool
) -> None:
    with pytest.raises(type(error)):
        fetch.run(replace(job, guard=BreakingGuard(error, 500_000)))
    assert not tarball_of(job).exists()
    assert bool(leftovers(job)) is kept
    fetch.run(job)
    assert_fetched(job)


def test_a_worker_that_lost_the_visit_publishes_nothing(job: Job) -> None:
    with pytest.raises(LeaseLost):
        fetch.run(replace(job, guard=BreakingGuard(LeaseLost("gone"), len(CONTENT))))
    assert not tarball_of(job).exists()
    assert leftovers(job) == []


class WakingGuard(CountingGuard):
    """Has a zombie write to its part whenever bytes have come."""

    def __init__(self, zombie: Part) -> None:
        super().__init__()
        self.zombie = zombie

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        super().advance(bytes=bytes, dicoms=dicoms)
        self.zombie.write(b"brains" * 100)


def test_a_worker_that_wakes_up_cannot_spoil_its_successors_part(
    web: FaultyStore, job: Job
) -> None:
    """A zombie holds its part open while another worker continues from it."""
    work = job.store.work_dir(VISIT)
    job.store.make_dir(work)
    zombie = Part(work, Note(RemoteFile(len(CONTENT), etag(web))))
    zombie.write(CONTENT[:1_000_000])
    zombie._mark()
    assert zombie._marking is not None
    zombie._marking.result()
    zombie.write(CONTENT[1_000_000:1_500_000])  # not marked: may not be on disk

    guard = WakingGuard(zombie)
    fetch.run(replace(job, guard=guard))
    assert tarball_of(job).read_bytes() == CONTENT
    assert guard.bytes == len(CONTENT) - 1_000_000
    zombie.close()
    assert partial_download.take_over(work, lambda: None, lambda _: True) is None
    assert tarball_of(job).read_bytes() == CONTENT


def test_a_worker_that_died_unmarked_leaves_nothing_to_use(
    web: FaultyStore, job: Job
) -> None:
    work = job.store.work_dir(VISIT)
    job.store.make_dir(work)
    dead = Part(work, Note(RemoteFile(len(CONTENT), etag(web))))
    dead.write(b"x" * 1_000_000)
    dead._file.close()
    (work / "part-0000").write_bytes(b"no note")
    (work / "part-1111.json").write_text("no part")
    fetch.run(job)
    assert_fetched(job)


def test_a_part_that_was_complete_is_not_downloaded_again(job: Job) -> None:
    """A worker was stopped right before publishing: one byte is asked for again."""
    with pytest.raises(Interrupted):
        fetch.run(replace(job, guard=BreakingGuard(Interrupted("stop"), len(CONTENT))))
    guard = CountingGuard()
    fetch.run(replace(job, guard=guard))
    assert_fetched(job)
    assert guard.bytes == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from icfqueue.core.guard import Guard
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.remote import partial_download
from icfqueue.steps import fetch
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

partial_download.MARK = 500_000

class Fatal(Guard):
    seen = 0
    def advance(self, *, bytes=0, dicoms=0):
        self.seen += bytes
        if self.seen > 2_000_000:
            os.kill(os.getpid(), signal.SIGKILL)

root = Path(sys.argv[1])
settings = Settings(store_dir=root, store_url=sys.argv[2], keep_free=0)
fetch.run(Job(Visit("study_1", "v"), Options(sys.argv[2]), Store(root), settings, Fatal()))
"""


def test_what_a_killed_worker_had_received_is_continued(web: FaultyStore, job: Job) -> None:
    """By SIGKILL in mid-download: what it had marked as on disk need not come again."""
    web.fail("slow", path=TAR_PATH, rate=4_000_000)
    command = [sys.executable, "-c", KILLED, str(job.store.root), web.url]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (left,) = parts_of(job)
    note = Note.read(partial_download._note_of(left))
    assert note is not None
    assert not note.closed
    assert 500_000 <= note.have <= left.stat().st_size
    fetch.run(job)
    assert_fetched(job)
    assert bytes_counted(job) == len(CONTENT) - note.have
