"""Colours: what the environment wishes."""

from __future__ import annotations

import pytest

from icfqueue.cli.shell.colours import colours


@pytest.mark.parametrize(
    ("environment", "wished"),
    [
        ({}, None),
        ({"NO_COLOR": "", "FORCE_COLOR": ""}, None),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_the_environment_says_whether_there_are_colours(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wished: bool | None
) -> None:
    """An empty variable says nothing; who wants none is heard first."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colours() is wished
