"""A worker's main loop says that it goes round, and never waits to be heard."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from icfqueue.core.processes.pulse import Pulse
from workers import pulse


@pytest.fixture
def felt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    found = Pulse()
    with found.pipe() as pipe:
        monkeypatch.setattr(pulse, "_pipe", pipe)
        yield found
    found.close()


@pytest.mark.parametrize("state", [pulse.WORKING, pulse.WAITING, pulse.STOPPING])
def test_what_is_said_is_felt(state: bytes, felt: Pulse) -> None:
    pulse.beat(state)
    felt.feel()
    assert felt.state == state


def test_nobody_need_listen(felt: Pulse) -> None:
    """A full pipe, or none."""
    assert felt.state == b""
    for _ in range(200_000):
        pulse.beat()


def test_without_a_pipe_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_pipe", -1)
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("it was said"))
    pulse.beat()
