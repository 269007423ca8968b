"""The superdataset's repository, as git itself sees it."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support.superdatasets import git

from icfqueue.core.guard import UNGUARDED
from icfqueue.dataset import repository
from icfqueue.dataset.superdataset import commits
from icfqueue.dataset.superdataset.commits import Contents, Last
from icfqueue.dataset.superdataset.entries import Entry
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import HEAD, Source


def entries(*names: str, version: str = "a") -> dict[str, Entry]:
    return {
        name: Entry(
            version * 40,
            f'[submodule "{name}"]\n\tpath = {name}\n\turl = "x"\n'.encode(),
        )
        for name in names
    }


FIRST = Contents("an-id", entries("v1", "v10", "v2"), "Read me.\n", "three", 7)


def test_git_finds_a_tree_in_order_with_files_and_links(repo: Path) -> None:
    commit = commits.write(repo, FIRST, None, UNGUARDED)
    git(repo, "fsck", "--full", "--strict", commit)
    names = git(repo, "ls-tree", "-r", "--name-only", commit).splitlines()
    own = [".datalad/.gitattributes", ".datalad/config", ".gitattributes", ".gitmodules"]
    assert names == [*own, "README.md", "v1", "v10", "v2"]
    assert git(repo, "cat-file", "blob", f"{commit}:README.md") == "Read me.\n"
    assert "id = an-id" in git(repo, "cat-file", "blob", f"{commit}:.datalad/config")
    listed = git(repo, "config", "--blob", f"{commit}:.gitmodules", "--get-regexp", "path")
    assert listed.split()[1::2] == ["v1", "v10", "v2"]
    shown = git(repo, "show", "-s", "--format=%an|%at|%ct|%s|%P", commit)
    assert shown == "icfqueue|7|7|three|\n"
    assert git(repo, "rev-parse", HEAD).strip() == commit


def test_the_order_of_the_entries_makes_no_difference(tmp_path: Path) -> None:
    made = set()
    for number, names in enumerate((("v1", "v10", "v2"), ("v2", "v1", "v10"))):
        repo = repository.make_bare(tmp_path / str(number))
        contents = replace(FIRST, entries=entries(*names))
        commit = commits.write(repo, contents, None, UNGUARDED)
        (pack,) = (repo / "objects" / "pack").glob("*.pack")
        made.add((commit, pack.name, pack.read_bytes()))
    assert len(made) == 1


def test_what_was_written_is_read_again(repo: Path) -> None:
    commit = commits.write(repo, FIRST, None, UNGUARDED)
    assert commits.read(repo, commit, UNGUARDED) == Last(commit, 7, dict(FIRST.entries))


def test_the_next_commit_is_on_top_and_there_is_one_pack(repo: Path) -> None:
    one = commits.write(repo, FIRST, None, UNGUARDED)
    second = replace(FIRST, entries=entries("v1", version="b"), when=9)
    two = commits.write(repo, second, one, UNGUARDED)
    assert git(repo, "rev-list", two).split() == [two, one]
    assert len(list((repo / "objects" / "pack").glob("*.pack"))) == 1
    git(repo, "fsck", "--full", "--strict", two)
    assert commits.read(repo, one, UNGUARDED).entries == FIRST.entries
    assert commits.read(repo, two, UNGUARDED).entries == second.entries


def test_an_older_list_is_kept_as_what_differs_from_the_next(repo: Path) -> None:
    """So a visit more adds little, however many there are."""
    many = {name: entry for n in range(3000) for name, entry in entries(f"v{n}").items()}
    parent, sizes = None, []
    for number in range(4):
        many |= entries(f"w{number}")
        parent = commits.write(repo, replace(FIRST, entries=many), parent, UNGUARDED)
        (pack,) = (repo / "objects" / "pack").glob("*.pack")
        sizes.append(pack.stat().st_size)
    assert sizes[0] > 20_000
    assert all(after - before < 2000 for before, after in pairwise(sizes))


@pytest.mark.parametrize("name", ["README.md", "readme.MD"])
def test_a_visit_that_is_called_like_the_readme_has_its_place(
    repo: Path, name: str
) -> None:
    contents = replace(FIRST, entries=entries(name))
    commit = commits.write(repo, contents, None, UNGUARDED)
    git(repo, "fsck", "--full", "--strict", commit)
    assert commits.read(repo, commit, UNGUARDED).entries == contents.entries


def test_of_a_planted_repository_nothing_but_packs_is_taken(
    repo: Path, tmp_path: Path
) -> None:
    """Its ``config``, or a hook, could have git start a program."""
    made = repository.make_bare(tmp_path / "made")
    commit = commits.write(made, FIRST, None, UNGUARDED)
    deposit.pack_refs(made)
    deposit.write_export(made, tmp_path / "export", Source("u", "m", 1, 2, "x", 3))
    with zipfile.ZipFile(tmp_path / "export", "a") as export:
        for name in ("hooks/update", "../escaped", "objects/pack/pack-x.pack", "shallow"):
            export.writestr(name, b"planted")
    before = (repo / "config").read_bytes()
    with (tmp_path / "export").open("rb") as file:
        assert commits.unpack(file, repo) == commit
    assert (repo / "config").read_bytes() == before
    assert sorted(path.name for path in repo.iterdir()) == [
        "HEAD",
        "config",
        "objects",
        "refs",
    ]
    assert len(list((repo / "objects" / "pack").iterdir())) == 2
    assert not (tmp_path / "escaped").exists()
    assert commits.read(repo, commit, UNGUARDED).entries == FIRST.entries


def test_a_commit_that_is_not_there_is_told(repo: Path) -> None:
    with pytest.raises(ValueError, match=f"{'a' * 40} is missing"):
        commits.read(repo, "a" * 40, UNGUARDED)


@pytest.mark.parametrize("refs", ["", f"x {HEAD}\n", f"{'a' * 40} refs/heads/other\n"])
def test_a_repository_without_master_is_refused(
    repo: Path, tmp_path: Path, refs: str
) -> None:
    with zipfile.ZipFile(tmp_path / "export", "w") as export:
        export.writestr("packed-refs", refs)
    with (
        (tmp_path / "export").open("rb") as file,
        pytest.raises(ValueError, match="master"),
    ):
        commits.unpack(file, repo)
