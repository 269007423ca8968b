"""Files and variables that settings come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from icfqueue.core.configured import sources
from icfqueue.core.errors import UsageError


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620])
@pytest.mark.parametrize(
    "line",
    [
        'broker_password = "hunter2"',
        'broker = "redis://me:hunter2@host/0"',
        'notify = "https://hooks.example.org/hunter2"',
    ],
)
def test_a_password_in_a_file_that_others_can_read_is_refused(
    tmp_path: Path, mode: int, line: str
) -> None:
    """And the remedy works as it is printed."""
    path = tmp_path / "my settings.toml"
    path.write_text(line)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"mode 0{mode:o}") as caught:
        sources.of_file(path)
    assert "hunter2" not in caught.value.message
    assert os.system(caught.value.hint) == 0
    assert sources.of_file(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_one_that_only_its_owner_and_group_read_is_not(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "icfqueue.toml"
    path.write_text('broker_password = "hunter2"')
    path.chmod(mode)
    assert sources.of_file(path) == {"broker_password": "hunter2"}


def test_a_file_without_a_password_may_be_read_by_all(tmp_path: Path) -> None:
    path = tmp_path / "icfqueue.toml"
    path.write_text('broker = "redis://me@host/0"\nlease = 5\n')
    path.chmod(0o644)
    assert sources.of_file(path) == {"broker_url": "redis://me@host/0", "lease": 5}


def test_a_variable_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICFQUEUE_BROKER", "redis://host")
    monkeypatch.setenv("ICFQUEUE_STALL", '{"fetch": 5}')
    assert sources.of_environment(["broker_url", "stall", "lease"]) == {
        "broker_url": ("ICFQUEUE_BROKER", "redis://host"),
        "stall": ("ICFQUEUE_STALL", {"fetch": 5}),
    }
