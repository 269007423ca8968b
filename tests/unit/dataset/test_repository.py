"""The bare repository: made as git makes it, filled by one import, checked by git."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.datasets import git
from support.guards import MindingGuard

from icfqueue.core.errors import BadTarball, Cancelled, ToolFailed
from icfqueue.core.guard import UNGUARDED
from icfqueue.dataset import programs, repository

Program = Callable[[str, str], None]


def test_a_bare_repository_is_what_git_init_makes(repo: Path, tmp_path: Path) -> None:
    """Same configuration and branch, and git takes it for one."""
    init = ["init", "-q", "--bare", "--template=", "--initial-branch=master", "made"]
    git(tmp_path, *init)
    for name in ("HEAD", "config"):
        assert (repo / name).read_bytes() == (tmp_path / "made" / name).read_bytes()
    out = programs.run(
        ["git", "rev-parse", "--is-bare-repository"], repo=repo, guard=UNGUARDED
    )
    assert out == b"true\n"


def test_a_stream_that_breaks_off_makes_nothing(repo: Path) -> None:
    """Without its last word, and with an error of its maker."""
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\n"
    with pytest.raises(ToolFailed, match="fast-import"):
        repository.fast_import(repo, [commit], UNGUARDED)

    def broken() -> Iterator[bytes]:
        yield commit
        raise Cancelled("called off")

    guard = MindingGuard()
    with pytest.raises(Cancelled):
        repository.fast_import(repo, broken(), guard)
    assert guard.running == []
    assert list((repo / "refs" / "heads").iterdir()) == []


def test_git_that_ends_early_is_a_failure_not_a_broken_pipe(
    repo: Path, program: Program
) -> None:
    program("git", "echo enough >&2; exit 3")
    with pytest.raises(ToolFailed, match="exit code 3: enough"):
        repository.fast_import(repo, [b"x" * 100_000] * 50, UNGUARDED)


@pytest.mark.parametrize(
    "name", [".git", ".GIT", "git~1", ".g\u200cit", ".git ", ".git::$DATA"]
)
def test_git_names_the_path_that_it_would_not_check_out(name: str, repo: Path) -> None:
    entry = f'M 120000 inline "folder/{name}/x"\ndata 1\na\n'.encode()
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\n"
    repository.fast_import(repo, [commit, entry, b"done\n"], UNGUARDED)
    with pytest.raises(BadTarball) as caught:
        repository.check_tree(repo, "refs/heads/master", UNGUARDED)
    assert repr(f"folder/{name}/x") in caught.value.message


def test_an_import_is_one_pack_however_small(repo: Path) -> None:
    """The deposit holds a pack and no loose files."""
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\ndone\n"
    repository.fast_import(repo, [commit], UNGUARDED)
    packs = sorted(path.suffix for path in (repo / "objects" / "pack").iterdir())
    assert packs == [".idx", ".pack"]
    assert [path.name for path in (repo / "objects").iterdir()] == ["pack"]


def test_a_tree_that_can_be_checked_out_leaves_no_trace_of_the_check(repo: Path) -> None:
    entry = b'M 120000 inline "folder/x"\ndata 1\na\n'
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\n"
    repository.fast_import(repo, [commit, entry, b"done\n"], UNGUARDED)
    repository.check_tree(repo, "refs/heads/master", UNGUARDED)
    assert not (repo / "index").exists()


def test_a_check_that_fails_for_another_reason_blames_no_member(repo: Path) -> None:
    with pytest.raises(ToolFailed, match="Not a valid object name"):
        repository.check_tree(repo, "refs/heads/none", UNGUARDED)
