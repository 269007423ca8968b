"""``run`` takes up what is recorded, and what it prints to go on works as printed."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.commands import Icfqueue, command_lines
from support.faulty_store import FaultyStore
from support.waiting import wait_until

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.demo.visits import build_project

COUNT = 3


@pytest.fixture
def icfqueue(tmp_path: Path) -> Icfqueue:
    store = tmp_path / "my store"
    store.mkdir()
    made = Icfqueue(store)
    # Named on the command line alone, so that it must be printed.
    del made.environment["ICFQUEUE_STORE_DIR"]
    made.environment["ICFQUEUE_GRACE"] = "1"
    return made


def wait_for_download(web: FaultyStore) -> None:
    """Wait until a tarball is asked for."""

    def is_begun() -> bool:
        return any(
            how == "GET" and what.endswith("_dicom.tar") for how, what, _ in web.seen
        )

    wait_until(is_begun, 60, "a download begins")


def test_ctrl_c_in_the_middle_of_downloads_prints_what_goes_on_without_the_listing(
    icfqueue: Icfqueue, tmp_path: Path
) -> None:
    build_project(tmp_path / "web", "study_1", COUNT)
    with FaultyStore(tmp_path / "web", auth=False) as web:
        slow = web.fail("slow", path="*_dicom.tar", method="GET", times=None, rate=2000)
        words = ["run", "study_1", "--remote", "--jobs", "1", "--remove-tarball"]
        where = ["--store-dir", str(icfqueue.store), "--store-url", web.url]
        log = tmp_path / "log"
        run = icfqueue.start(*words, *where, log=log)
        wait_for_download(web)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
        slow.over.set()
        web.clear()
        (line,) = re.findall(r"To go on: (icfqueue .*)", log.read_text())
        assert line == (
            f"icfqueue run study_1 --jobs 1 --remove-tarball "
            f"--store-dir '{icfqueue.store}' --store-url {web.url}"
        )
        # What is recorded goes on without being listed: nobody needs to be told to.
        told = icfqueue.good("run", "study_1", *where, "--jobs", "1")
        assert f"0 enqueued, {COUNT} under way already" in told
        assert f"{COUNT} done" in told
        done = subprocess.run(
            ["bash", "-c", line],
            cwd="/",
            env=icfqueue.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert f"{COUNT} up to date" in done.stdout
        assert not list(icfqueue.store.rglob("*_dicom.tar"))
        # No tarball is here any more, and all is done.
        told = icfqueue.good("run", "study_1", *where)
        assert f"0 enqueued, {COUNT} up to date" in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_batch_system_or_a_closed_terminal_ends_a_run_as_ctrl_c_does(
    icfqueue: Icfqueue, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """No worker and no broker outlast it, and it says how to go on."""
    build_project(tmp_path / "web", "study_1", COUNT)
    with FaultyStore(tmp_path / "web", auth=False) as web:
        slow = web.fail("slow", path="*_dicom.tar", method="GET", times=None, rate=2000)
        where = ["--store-dir", str(icfqueue.store), "--store-url", web.url]
        log = tmp_path / "log"
        run = icfqueue.start("run", "study_1", "--remote", "--jobs", "1", *where, log=log)
        try:
            wait_for_download(web)
            run.send_signal(number)
            assert run.wait(timeout=60) == code, log.read_text()
        finally:
            run.kill()
            run.wait()
            slow.over.set()
    said = log.read_text()
    assert f"Stopped with 0 of {COUNT} visits done." in said
    assert "To go on: icfqueue run study_1 --jobs 1" in said
    ours = (str(EmbeddedServer(icfqueue.store).socket), f"icfqueue-{run.pid}-")
    wait_until(
        lambda: not any(word in line for line in command_lines() for word in ours),
        60,
        "the broker and the workers end",
    )
