"""A Celery that hangs is ended; one that ended for the broker's sake comes back, always."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

from icfqueue.core.processes import pulse
from icfqueue.core.settings import Settings
from icfqueue.operations import worker_process
from icfqueue.operations.worker_process import RESTARTS, WorkerProcess

BEAT = "import os, sys, time; pipe = int(os.environ['ICFQUEUE_PULSE']); "


class Fake(WorkerProcess):
    """Runs another program where Celery would be."""

    program = "pass"

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self.program]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fake(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(worker_process, "RESTART_PAUSE", 0.01)
    monkeypatch.setattr(worker_process, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(worker_process, "MARGIN", 0.1)
    monkeypatch.setattr(worker_process, "LAST_WORD", 0.1)
    settings = Settings(store_dir=tmp_path, grace=0.0)
    return Fake(settings, concurrency=1, say=said.append)


def look_until_started(fake: Fake, times: int) -> set[int]:
    """Look after the worker until it was started that often; return the process ids."""
    pids: set[int] = set()

    def is_done() -> bool:
        fake.look()
        assert not fake.gave_up
        assert fake.process
        pids.add(fake.process.pid)
        return len(pids) >= times

    fake.start()
    wait_until(is_done, 60, f"{times} starts", str)
    fake.kill()
    return pids


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        BEAT + "os.write(pipe, b'w'); raise SystemExit(1)",
        BEAT + "os.write(pipe, b'ws'); raise SystemExit(1)",
    ],
)
def test_a_worker_that_ends_for_the_brokers_sake_is_always_started_again(
    program: str, fake: Fake, said: list[str]
) -> None:
    """Exit code 3 says so, or its last word before it stopped; the pause grows."""
    fake.program = program
    look_until_started(fake, RESTARTS + 4)
    assert any("as the broker is away; again in" in line for line in said)
    assert fake._pause == worker_process.LONGEST_PAUSE


def test_a_worker_that_worked_and_ended_is_not_started_for_ever(fake: Fake) -> None:
    fake.program = BEAT + "os.write(pipe, b'.'); raise SystemExit(1)"
    fake.start()

    def gave_up() -> bool:
        fake.look()
        return fake.gave_up

    wait_until(gave_up, 60, "it gave up", str)


@pytest.mark.parametrize("words", ["s", ".s", ".s."])
def test_a_worker_that_stops_and_does_not_end_is_ended(
    words: str, fake: Fake, said: list[str]
) -> None:
    fake.program = BEAT + f"os.write(pipe, b'{words}'); time.sleep(600)"
    first, *_ = [look_until_started(fake, 2)]
    assert len(first) == 2
    assert any("hangs; it is ended" in line for line in said)


def test_a_worker_whose_main_loop_stands_still_is_ended(
    fake: Fake, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "SILENCE", 0.2)
    fake.program = BEAT + "os.write(pipe, b'.'); time.sleep(600)"
    fake.start()
    first = fake.process
    assert first

    def is_ended() -> bool:
        fake.look()
        return first.returncode is not None

    wait_until(is_ended, 60, "it was ended", str)
    fake.kill()
    assert first.returncode == -signal.SIGKILL
    assert any("hangs; it is ended" in line for line in said)
