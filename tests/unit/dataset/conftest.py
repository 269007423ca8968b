"""A bare repository, and programs that stand in for git and git-annex."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from icfqueue.dataset import programs, repository


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository.make_bare(tmp_path / "repo")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return what puts a shell script in the place of a program: ``program("git", …)``."""
    folder = tmp_path / "programs"
    folder.mkdir()
    real = programs.search_path()
    monkeypatch.setattr(programs, "search_path", lambda: f"{folder}{os.pathsep}{real}")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put
