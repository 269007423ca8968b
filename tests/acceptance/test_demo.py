"""The demonstration, as `make demo` runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.commands import BIN, Icfqueue

from icfqueue.dataset import clone


def test_the_demonstration_shows_the_whole_way_and_does_so_again(tmp_path: Path) -> None:
    icfqueue = Icfqueue(tmp_path, {"HOME": str(tmp_path / "empty")})
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "demo-store"
    for visits in ("1", "2"):
        told = icfqueue.good("demo", "--folder", str(folder), "--visits", visits)
        assert f"{visits} done" in told
        assert "the same" in told
        assert f"the catalog  {folder / 'store/study_1/catalog'}" in told
        assert (folder / "store/study_1/catalog/index.html").exists()
    assert not list((tmp_path / "empty").iterdir())


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_demonstration_leaves_the_repository_around_it_as_it_was(
    tmp_path: Path,
) -> None:
    """`make demo` is typed in a checkout, which must not become a git-annex repository."""
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    before = everything(checkout / ".git")
    icfqueue = Icfqueue(tmp_path)
    folder = checkout / "demo-store"
    told = icfqueue.good("demo", "--folder", str(folder), "--visits", "1")
    assert everything(checkout / ".git") == before
    # The clone is whole where it lies, and what is to be tried next can be.
    subprocess.run(
        ["git", "annex", "fsck", "--fast", "--quiet"],
        cwd=folder / "clone",
        env=icfqueue.environment,
        check=True,
    )
    assert f"{BIN / 'icfqueue'} status study_1 visit_01" in told
    assert f"{BIN / 'icfqueue'} serve --store-dir {folder / 'store'}" in told


def test_no_temporary_folder_is_made_in_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = clone.folder_of_its_own("icfqueue-test-")
    try:
        assert tmp_path not in folder.parents
    finally:
        folder.rmdir()
