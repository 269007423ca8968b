"""Clones as a scientist makes them: in no repository, with the named credential."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from support.credentials import set_credential
from support.datasets import git

from icfqueue.core.errors import UsageError
from icfqueue.dataset import clone
from icfqueue.dataset.clone import (
    OF_A_REPOSITORY,
    folder_of_its_own,
    login_of,
    remove,
    without_repository,
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_temporary_folder_is_made_where_the_user_has_them(temporary: Path) -> None:
    made = folder_of_its_own("x-")
    assert made.parent == temporary
    assert made.name.startswith("x-")
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("where", [".", "above"])
def test_it_never_lies_in_a_repository(temporary: Path, where: str) -> None:
    """A clone that is made there would change the repository around it."""
    git(temporary if where == "." else temporary.parent, "init", "-q")
    made = folder_of_its_own("x-")
    try:
        assert not made.is_relative_to(temporary)
        assert not any((place / ".git").exists() for place in made.parents)
    finally:
        made.rmdir()
    assert [path.name for path in temporary.iterdir() if path.name != ".git"] == []


def test_where_all_such_folders_lie_in_repositories_the_remedy_is_named(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "in_repository", lambda _: True)
    with pytest.raises(UsageError, match="lies in a Git repository") as caught:
        folder_of_its_own("x-")
    assert "TMPDIR" in caught.value.hint
    assert list(temporary.iterdir()) == []


def test_what_ties_git_to_one_repository_is_left_out_and_nothing_else() -> None:
    kept = {"GIT_AUTHOR_NAME": "Me", "PATH": "/bin", "GIT_SSL_CAINFO": "x"}
    tied = dict.fromkeys(OF_A_REPOSITORY, "/repo")
    assert without_repository({**kept, **tied}) == kept


def test_a_repository_of_the_caller_is_not_taken_for_the_one_around(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook: GIT_DIR is set, and the folder lies in no repository."""
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert folder_of_its_own("x-").parent == temporary


def test_the_named_credential_is_the_last_used_of_the_stores_realm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By which DataLad chooses."""
    set_credential(monkeypatch, type="user_password", user="alice", secret="s3cret")
    found = login_of("store", "https://data.example.org/icf")
    last = found.pop("datalad.credential.store.last-used")
    assert last > "2024"
    assert found == {
        "datalad.credential.store.type": "user_password",
        "datalad.credential.store.user": "alice",
        "datalad.credential.store.secret": "s3cret",
        "datalad.credential.store.realm": "https://data.example.org/icf",
    }


@pytest.mark.parametrize(
    ("name", "realm"), [(None, "https://x/icf"), ("store", ""), ("other", "https://x/icf")]
)
def test_without_a_name_a_realm_or_a_secret_datalad_chooses_for_itself(
    monkeypatch: pytest.MonkeyPatch, name: str | None, realm: str
) -> None:
    set_credential(monkeypatch, user="alice", secret="s3cret")
    assert login_of(name, realm) == {}


def test_a_clone_is_removed_although_its_content_is_protected(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    key = tmp_path / "clone" / ".git" / "annex" / "objects" / "key"
    key.mkdir(parents=True)
    (key / "content").touch()
    (key / "content").chmod(0o444)
    (tmp_path / "clone" / "link").symlink_to(outside)
    key.chmod(0o555)
    outside.chmod(0o555)
    remove(tmp_path / "clone")
    assert not (tmp_path / "clone").exists()
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o555, "followed out of the clone"
    outside.chmod(0o755)
    remove(tmp_path / "gone")
