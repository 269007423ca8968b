"""A worker's signs of life, and what its processes show of their work."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.waiting import wait_until

from icfqueue.core.errors import ToolFailed
from icfqueue.dataset.sample import fingerprint
from icfqueue.ledger.roster import JobSign
from icfqueue.pipeline.health.store_watch import StoreWatch
from icfqueue.store.directory import Store
from workers import context, signs
from workers.context import WorkerContext
from workers.signs import Disk, Signs

JOB = JobSign(project="p", visit="v", step="fetch", since=7.0, bytes=12, pid=43)


def test_a_worker_says_what_it_is_until_it_stops(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, then with the versions; and what runs at a stop is shown to its end."""
    monkeypatch.setattr(signs, "SETTLED", 0.1)
    monkeypatch.setattr(signs, "EVERY", 0.1)
    StoreWatch(worker.store, worker.quick).check(make=True)
    roster, jobs = worker.quick.roster, [JOB]
    said = Signs(worker, 3, ["export"], lambda: jobs)
    said.start()
    wait_until(lambda: roster.signs() and roster.signs()[0].sample, 60, "it tells all")
    (sign,) = roster.signs()
    assert (sign.name, sign.pid) == (worker.name, os.getpid())
    assert (sign.processes, sign.queues, sign.jobs) == (3, ("export",), (JOB,))
    assert sign.sample == fingerprint()
    assert all(sign.versions.values())
    assert set(sign.versions) == {"icfqueue", "python", "git", "git-annex", "datalad"}
    assert sign.store_id == worker.quick.store_id(None)
    assert sign.store_dir == str(worker.store.root)
    assert 0 < (sign.disk_free or 0) <= (sign.disk_total or 0)
    assert abs(sign.clock - sign.seen) < 30
    assert sign.since <= sign.seen
    assert int(sign.umask, 8) == signs.UMASK
    said.stop()
    assert [one.jobs for one in roster.signs()] == [(JOB,)]
    jobs.clear()
    wait_until(lambda: roster.signs() == [], 30, "it is gone")


def test_what_a_process_shows_the_others_of_its_worker_see() -> None:
    context.show(JOB)
    assert context.jobs() == [JOB]
    context.show(None)
    assert context.jobs() == []


def test_a_disk_that_does_not_answer_keeps_no_sign_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unknown then, and is asked once, not again and again."""
    disk = Disk(store)
    disk.look()
    assert disk.free
    answers, asked = threading.Event(), []
    real = os.statvfs

    def hanging(path: Path) -> os.statvfs_result:
        asked.append(path)
        answers.wait(60)
        return real(path)

    monkeypatch.setattr(signs.os, "statvfs", hanging)
    disk.look()
    disk.look()
    assert (disk.free, len(asked)) == (None, 1)
    answers.set()
    wait_until(lambda: disk.look() or disk.free, 30, "it is known again")


def test_a_store_that_is_gone_has_neither_room_nor_id(store: Store) -> None:
    disk = Disk(Store(store.root / "nowhere"))
    disk.look()
    assert (disk.free, disk.total, disk.store_id) == (None, None, "")


def test_a_program_that_is_not_there_has_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signs.programs, "search_path", lambda: "/nowhere")
    found = signs.versions()
    assert (found["git"], found["git-annex"]) == ("", "")
    assert found["datalad"]


def test_what_cannot_be_written_is_logged_and_stays_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is found out in a thread of its own: a program that hangs keeps none back."""

    def fails() -> str:
        raise ToolFailed("git failed")

    monkeypatch.setattr(signs, "fingerprint", fails)
    sample = signs.Sample()
    sample.begin()
    wait_until(lambda: "worker.sample" in caplog.text, 30, "it is logged")
    assert sample.found == ""
    goes_on = threading.Event()
    monkeypatch.setattr(signs, "fingerprint", lambda: goes_on.wait(60) and "x")
    sample.begin()
    assert sample.found == ""
    goes_on.set()
    wait_until(lambda: sample.found == "x", 30, "it is known")
