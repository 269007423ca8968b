"""``icfqueue config show``: each setting, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Commands

from icfqueue.cli.commands.config import masked
from icfqueue.core.settings import Secret, Settings


@pytest.fixture
def shown(
    icfqueue: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What programs get where each source sets something."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "icfqueue.toml"
    file.write_text(
        'broker_password = "hunter2"\nlease = 12\nmax_attempts = 3\n'
        'notify = "https://me@hooks.example.org/hunter2?x=hunter2"\n'
    )
    file.chmod(0o600)
    monkeypatch.setenv("ICFQUEUE_MAX_ATTEMPTS", "4")
    done = icfqueue.plain(
        *("config", "show", "--format", "json"),
        *("--broker", "redis://me:hunter2@host:1/0?password=hunter2"),
    )
    assert "hunter2" not in done.out
    return {one["name"]: (one["value"], one["source"]) for one in json.loads(done.out)}


def test_each_setting_has_its_value_and_its_source(shown: dict[str, Any]) -> None:
    assert list(shown) == list(Settings.__struct_fields__)
    assert shown["lease"] == (12.0, "icfqueue.toml")
    assert shown["max_attempts"] == (4, "ICFQUEUE_MAX_ATTEMPTS")
    assert shown["grace"] == (20.0, "default")
    assert shown["broker_url"] == ("redis://me:…@host:1/0?…", "option")
    assert shown["broker_password"] == ("…", "icfqueue.toml")
    assert shown["notify"] == ("https://hooks.example.org/…", "icfqueue.toml")


def test_the_table_can_have_what_differs_alone(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICFQUEUE_LEASE", "7")
    lines = icfqueue.plain("config", "show", "--changed").out.splitlines()
    assert [line.split() for line in lines[1:]] == [["lease", "ICFQUEUE_LEASE", "7.0"]]
    assert len(icfqueue.plain("config", "show").out.splitlines()) > 25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "…"),
        ("redis://host/0", "redis://host/0"),
        ("redis://me@host", "redis://me@host"),
        ("redis://:p@host", "redis://:…@host"),
        ("redis+socket:///path/s", "redis+socket:///path/s"),
        ("redis://[", "…"),
    ],
)
def test_of_a_secret_only_an_address_without_password_is_shown(
    text: str, words: str
) -> None:
    assert masked(Secret(text)) == words
