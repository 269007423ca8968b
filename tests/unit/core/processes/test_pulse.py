"""Whether a worker's main loop goes round is known from outside; time passes by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from icfqueue.core.processes import pulse
from icfqueue.core.processes.pulse import (
    FIRST,
    GAP,
    SILENCE,
    STOPPING,
    WAITING,
    WORKING,
    Pulse,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Worker:
    """The other end of the pipe."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.pulse = Pulse()
        with self.pulse.pipe() as pipe:
            self.pipe = os.dup(pipe)

    def says(self, words: bytes) -> None:
        os.write(self.pipe, words)
        self.pulse.feel()

    def passes(self, seconds: float) -> None:
        """Let time pass while somebody looks often."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + GAP / 2)
            self.pulse.feel()

    def close(self) -> None:
        os.close(self.pipe)
        self.pulse.close()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    clock = Clock()
    monkeypatch.setattr(pulse, "time", clock)
    made = Worker(clock)
    yield made
    made.close()


@pytest.mark.parametrize("state", [WORKING, WAITING])
def test_who_falls_silent_hangs(state: bytes, worker: Worker) -> None:
    worker.says(state)
    worker.passes(SILENCE - 1)
    assert not worker.pulse.is_gone(30)
    worker.passes(2)
    assert worker.pulse.is_gone(30)


def test_who_beats_does_not_hang_however_long(worker: Worker) -> None:
    for _ in range(50):
        worker.passes(SILENCE / 2)
        worker.says(WAITING)
    assert not worker.pulse.is_gone(30)


def test_who_has_just_been_started_gets_longer_for_its_imports(worker: Worker) -> None:
    worker.passes(FIRST - 1)
    assert not worker.pulse.is_gone(30)
    worker.passes(2)
    assert worker.pulse.is_gone(30)


def test_who_stops_gets_its_grace_and_no_more(worker: Worker) -> None:
    """A beat of the main loop after that does not take the stop back."""
    worker.says(WORKING)
    worker.says(STOPPING + WORKING)
    worker.passes(29)
    worker.says(WORKING)
    assert not worker.pulse.is_gone(30)
    worker.passes(2)
    worker.says(WORKING)
    assert worker.pulse.is_gone(30)


def test_if_it_was_we_who_stood_still_it_is_asked_again(worker: Worker) -> None:
    """As after a suspended machine, or SIGSTOP of both."""
    worker.says(WORKING)
    worker.clock.now += 10 * SILENCE
    worker.pulse.feel()
    assert not worker.pulse.is_gone(30)
    worker.passes(SILENCE + 1)
    assert worker.pulse.is_gone(30)


@pytest.mark.parametrize(
    ("words", "waited"),
    [
        (WORKING, False),
        (WAITING, True),
        (WAITING + WORKING, False),
        (WAITING + STOPPING, True),
        (WORKING + STOPPING, False),
    ],
)
def test_it_is_remembered_whether_it_waited_for_the_broker(
    words: bytes, waited: bool, worker: Worker
) -> None:
    worker.says(words)
    assert worker.pulse.waited is waited


def test_a_new_start_begins_anew(worker: Worker) -> None:
    worker.says(WAITING + STOPPING)
    with worker.pulse.pipe():
        worker.pulse.feel()
    assert (worker.pulse.state, worker.pulse.waited) == (b"", False)


def test_a_full_pipe_stops_nobody(worker: Worker) -> None:
    for _ in range(64):
        with suppress(BlockingIOError):
            os.write(worker.pipe, WORKING * 4096)
    with pytest.raises(BlockingIOError):
        os.write(worker.pipe, WORKING)
