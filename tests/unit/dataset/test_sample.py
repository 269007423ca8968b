"""What a machine would write, as a hash that tells machines apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from icfqueue.core.errors import IcfqueueError
from icfqueue.dataset import programs, sample

REAL = programs.find_program("git")


def git_instead(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `line` run in place of git; ``$git`` is the real one."""
    path = folder / "git"
    path.write_text(f"#!/bin/sh\ngit={REAL}\n{line}\n")
    path.chmod(0o755)
    before = programs.search_path()
    monkeypatch.setattr(programs, "search_path", lambda: f"{folder}:{before}")


def test_it_is_the_same_each_time_whatever_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sample.fingerprint()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert sample.fingerprint() == first
    assert not [*tmp_path.iterdir()]


def test_a_git_that_compresses_otherwise_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with zlib-ng; here by another level. One of another version alone has not."""
    first = sample.fingerprint()
    git_instead(tmp_path, 'exec "$git" "$@"', monkeypatch)
    assert sample.fingerprint() == first
    git_instead(tmp_path, 'exec "$git" -c core.compression=1 "$@"', monkeypatch)
    assert sample.fingerprint() != first


def test_one_that_fails_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_instead(tmp_path, "exit 1", monkeypatch)
    with pytest.raises(IcfqueueError):
        sample.fingerprint()
