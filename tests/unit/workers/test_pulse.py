"""A worker's sign of life, through a pipe that its parent feels."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from workers import pulse


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end that the parent reads; the worker has the other."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    monkeypatch.setattr(pulse, "_pipe", writing)
    yield reading
    os.close(reading)
    os.close(writing)


def test_each_beat_says_what_the_worker_does(pipe: int) -> None:
    pulse.beat()
    pulse.beat(pulse.WAITING)
    assert os.read(pipe, 100) == pulse.WORKING + pulse.WAITING


def test_a_parent_that_does_not_listen_holds_no_worker_up(pipe: int) -> None:
    for _ in range(200_000):
        pulse.beat()
    assert os.read(pipe, 10) == pulse.WORKING * 10


def test_without_a_parent_nothing_is_written(
    pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_pipe", -1)
    pulse.beat()
    with pytest.raises(BlockingIOError):
        os.read(pipe, 1)
