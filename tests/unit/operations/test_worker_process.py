"""A worker's process: started, watched, started again with a limit, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from msgspec import structs
from support.waiting import wait_until

from icfqueue.broker.connection import Broker
from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Secret, Settings, load
from icfqueue.operations import worker_process
from icfqueue.operations.worker_process import (
    WorkerProcess,
    end_of_time,
    parse_queues,
    parse_time,
)
from icfqueue.store.beneath.folder import Folder


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400.0),
        ("30s", 30.0),
        ("90m", 5400.0),
        ("4h", 14400.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
        ("00:30:00", 1800.0),
        ("12:00:00", 43200.0),
        ("1-12:00:00", 129600.0),
    ],
)
def test_a_time_may_be_written_as_people_or_as_slurm_write_it(
    text: str, seconds: float
) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-4h", "4 h", "4w", "1:2", "1-2", "inf", "4h\n"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_time(text)


def test_the_end_of_a_slurm_job_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.25
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert end_of_time(None, 20.0) is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1800001000")
    before = 20.0 + worker_process.LAST_WORD + worker_process.MARGIN
    assert end_of_time(None, 20.0) == 1_800_001_000 - before
    assert end_of_time("1h", 20.0) == now + 3600 - before
    assert end_of_time("10s", 20.0) == now
    for word in ("", "UNLIMITED", "-1"):
        monkeypatch.setenv("SLURM_JOB_END_TIME", word)
        assert end_of_time(None, 20.0) is None


def test_only_our_queues_can_be_served() -> None:
    assert parse_queues("fetch") == ("fetch",)
    assert parse_queues(" index, export ,catalog,") == ("index", "export", "catalog")
    for text in ("", ",", "fetsch", "fetch,celery", "fetch index"):
        with pytest.raises(UsageError, match="--queues"):
            parse_queues(text)


class Fake(WorkerProcess):
    """Runs another program where Celery would be."""

    program = "pass"

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self.program]


@pytest.fixture
def fake(store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(worker_process, "RESTART_PAUSE", 0.01)
    return Fake(store_settings, concurrency=1, quiet=True)


@pytest.fixture
def store_settings(tmp_path: Path) -> Settings:
    return Settings(store_dir=tmp_path, grace=0.0)


def wait_until_ended(force: WorkerProcess) -> None:
    assert force.process
    force.process.wait(30)


def test_a_worker_that_ends_is_started_again_but_not_for_ever(fake: Fake) -> None:
    fake.start()
    pids = set()
    end = time.monotonic() + 60
    while not fake.gave_up:
        assert time.monotonic() < end
        assert fake.process
        pids.add(fake.process.pid)
        fake.look()
        time.sleep(0.01)
    assert len(pids) == worker_process.RESTARTS + 1
    fake.look()
    fake.kill()


def test_ends_that_lie_far_apart_are_forgiven(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "RESTART_SPAN", 0.0)
    fake.start()
    for _ in range(worker_process.RESTARTS + 3):
        wait_until_ended(fake)
        fake.look()
        time.sleep(0.02)
        fake.look()
    assert not fake.gave_up
    fake.kill()


RUN = """
import pathlib, sys
from icfqueue.operations import worker_process
from icfqueue.core.settings import Settings
worker_process.RESTART_PAUSE = 0.01
class Fake(worker_process.WorkerProcess):
    def _command(self):
        return [sys.executable, "-c", sys.argv[2]]
chosen = Settings(store_dir=pathlib.Path(sys.argv[1]), grace=0.0)
stop_at = float(sys.argv[3]) if len(sys.argv) > 3 else None
sys.exit(Fake(chosen, concurrency=1, stop_at=stop_at).run())
"""


def start(folder: Path, program: str, *more: str) -> subprocess.Popen[str]:
    """Start a command like ``icfqueue worker`` around `program`."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), textwrap.dedent(program), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_last_word_says_that_it_gives_up_and_how_often_it_tried(tmp_path: Path) -> None:
    out, err = (found := start(tmp_path, "raise SystemExit(7)")).communicate(timeout=30)
    assert found.returncode == 1
    assert "ended 6 times within 10 minutes; giving up" in err
    assert err.count("exit 7") == 6
    assert "Traceback" not in out + err


def test_at_the_end_of_its_time_it_is_not_started_again(tmp_path: Path) -> None:
    out, err = (found := start(tmp_path, "pass", "1.0")).communicate(timeout=30)
    assert (found.returncode, out, err) == (0, "", "")


GROUP = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
subprocess.Popen(["sleep", "77"])
print("up", flush=True)
time.sleep(60)
"""


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_sigterm_ends_the_worker_and_everything_that_it_started(tmp_path: Path) -> None:
    found = start(tmp_path, GROUP)
    assert found.stdout
    assert found.stdout.readline() == "up\n"
    family = psutil.Process(found.pid).children(recursive=True)
    assert len(family) == 2
    found.send_signal(signal.SIGTERM)
    found.communicate(timeout=20)
    assert found.returncode == 0
    # Killed they are, but a process takes a moment to be gone.
    wait_until(lambda: not any(lives(child) for child in family), 20, "all have ended")


def test_a_worker_that_does_not_stop_is_killed(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    fake.say = said.append
    monkeypatch.setattr(worker_process, "LAST_WORD", 0.1)
    monkeypatch.setattr(worker_process, "MARGIN", 0.1)
    said: list[str] = []
    fake.quiet, fake.say = False, said.append
    fake.program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(60)"
    )
    fake.start()
    wait_until(lambda: "up" in capfd.readouterr().out, 20, "it has started")
    fake.stop()
    assert fake.process
    assert fake.process.returncode == -signal.SIGKILL
    assert said == ["icfqueue: the worker does not stop; it is killed"]


def test_no_password_is_in_the_process_list(store_settings: Settings) -> None:
    url = "redis://:hunter2@host/0"
    for force in (
        WorkerProcess(store_settings, concurrency=2, broker=Broker(url)),
        WorkerProcess(structs.replace(store_settings, broker_url=None), concurrency=2),
        WorkerProcess(
            load(store_dir=store_settings.store_dir, broker_url=url), concurrency=2
        ),
    ):
        assert "hunter2" not in " ".join(force._command())
    assert force._environment()["ICFQUEUE_BROKER_URL"] == url


def test_our_own_worker_is_told_the_brokers_password(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is no longer in the environment of who starts it."""
    monkeypatch.delenv("ICFQUEUE_BROKER_PASSWORD", raising=False)
    chosen = structs.replace(
        store_settings, broker_url=Secret("redis://host"), broker_password=Secret("hunter2")
    )
    environment = WorkerProcess(chosen, concurrency=1)._environment()
    assert environment["ICFQUEUE_BROKER_URL"] == "redis://host"
    assert environment["ICFQUEUE_BROKER_PASSWORD"] == "hunter2"


def test_the_worker_gets_its_settings_by_the_environment(store_settings: Settings) -> None:
    chosen = structs.replace(store_settings, credential="icf", store_url="https://x")
    force = WorkerProcess(
        chosen, concurrency=3, queues=("fetch", "index"), stop_at=99.5, loglevel="debug"
    )
    environment = force._environment()
    assert environment["ICFQUEUE_STORE_DIR"] == str(store_settings.store_dir)
    assert environment["ICFQUEUE_STORE_URL"] == "https://x"
    assert environment["ICFQUEUE_CREDENTIAL"] == "icf"
    assert environment["ICFQUEUE_STOP_AT"] == "99.5"
    assert environment["ICFQUEUE_PARENT"] == str(os.getpid())
    words = force._command()
    for pair in (
        ("--concurrency", "3"),
        ("--queues", "fetch,index"),
        ("--loglevel", "debug"),
    ):
        place = words.index(pair[0])
        assert words[place + 1] == pair[1]


def test_the_log_of_run_is_readable_by_owner_and_group_only(fake: Fake) -> None:
    fake.program = "print('hello')"
    fake.start()
    wait_until_ended(fake)
    assert fake.log_path.read_text() == "hello\n"
    assert fake.log_path.stat().st_mode & 0o007 == 0
    fake.kill()


def test_logs_of_workers_long_gone_are_removed(fake: Fake) -> None:
    folder = fake.log_path.parent
    folder.mkdir(parents=True)
    for name in ("worker-a-1.log", "worker-a-2.log", "other.log"):
        (folder / name).touch()
    long_ago = time.time() - worker_process.KEEP_LOGS - 60
    for name in ("worker-a-1.log", "other.log"):
        os.utime(folder / name, (long_ago, long_ago))
    os.close(fake._open_log())
    assert {path.name for path in folder.iterdir()} == {
        "worker-a-2.log",
        "other.log",
        fake.log_path.name,
    }


@pytest.mark.parametrize("nowhere", [False, True])
def test_where_the_store_has_no_place_for_a_log_the_user_has_one(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nowhere: bool
) -> None:
    in_store, real = fake.log_path, Folder.open_file

    def refused(folder: Folder, name: str, *more: int) -> int:
        if nowhere or folder.shown / name == in_store:
            raise PermissionError(13, "Permission denied", str(folder.shown / name))
        return real(folder, name, *more)

    # The tests may run as root, to whom nothing is refused.
    monkeypatch.setattr(Folder, "open_file", refused)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    if nowhere:
        with pytest.raises(UsageError, match=r"log cannot be written: .*\.log"):
            fake._open_log()
        return
    os.close(fake._open_log())
    assert fake.log_path.is_relative_to(tmp_path / "home")
    assert fake.log_path.exists()
