"""Which visits are deposited, and how each stands in a superdataset."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.superdatasets import URL, commit_of, put_deposit, put_deposits

from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import entries
from icfqueue.dataset.superdataset.entries import Deposited, Entry
from icfqueue.outputs import ids
from icfqueue.outputs.deposit import clone_url
from icfqueue.store.directory import Store

V = Visit("p", "v1")


def test_a_visit_is_deposited_when_both_files_are_there(store: Store) -> None:
    one, two, three = put_deposits(store, "p", ["v1", "v2", "v3"])
    store.path(two, two.refs).unlink()
    store.path(three, three.repo_export).unlink()
    for name in ("XDLRA--refs", "XDLRA--repo-export", "bad id_XDLRA--refs", "x.tar"):
        (store.project_dir("p") / name).touch()
    assert entries.deposited(store, "p") == {one}
    assert entries.deposited(store, "nothing") == set()


def test_a_deposit_tells_its_commit_and_what_it_was_made_from(store: Store) -> None:
    put_deposit(store, V, newest=7)
    found = entries.read(store, V)
    assert found is not None
    assert found.commit == commit_of(V)
    assert found.source is not None
    assert (found.source.newest, found.source.url) == (7, f"{URL}/{V.storepath}")
    put_deposit(store, V, foreign=True)
    assert entries.read(store, V) == Deposited(commit_of(V), None)


@pytest.mark.parametrize("which", ["refs", "repo_export"])
def test_a_deposit_that_is_cut_off_anywhere_or_gone_is_none(
    store: Store, which: str
) -> None:
    put_deposit(store, V)
    path = store.path(V, getattr(V, which))
    whole = path.read_bytes()
    for keep in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:keep])
        assert entries.read(store, V) is None, keep
    path.unlink()
    assert entries.read(store, V) is None


def test_a_refs_file_without_a_commit_or_a_link_is_none(
    store: Store, tmp_path: Path
) -> None:
    put_deposit(store, V)
    path = store.path(V, V.refs)
    good = path.read_bytes()
    path.write_text("../../x refs/heads/master\n@refs/heads/master HEAD\n")
    assert entries.read(store, V) is None
    (tmp_path / "elsewhere").write_bytes(good)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert entries.read(store, V) is None


def test_git_reads_path_address_and_id_out_of_a_section(
    store: Store, tmp_path: Path
) -> None:
    put_deposit(store, V)
    found = entries.read(store, V)
    assert found is not None
    strange = 'https://x.org/a"b\\c;d'
    for url in (URL, strange):
        entry = entries.entry_of(url, V, found)
        (tmp_path / "modules").write_bytes(entries.gitmodules([entry]))
        assert config(tmp_path / "modules") == {
            "submodule.v1.path": "v1",
            "submodule.v1.url": clone_url(url, V),
            # That of the address which it was deposited for.
            "submodule.v1.datalad-id": str(ids.dataset_id(URL, V)),
        }


def config(path: Path) -> dict[str, str]:
    done = subprocess.run(
        ["git", "config", "-f", path, "--list", "-z"],
        capture_output=True,
        check=True,
        env=dict(os.environ),
    )
    lines = done.stdout.decode().split("\0")[:-1]
    return dict(line.split("\n", 1) for line in lines)


def test_the_id_of_another_tools_dataset_is_not_made_up(store: Store) -> None:
    put_deposit(store, V, foreign=True)
    found = entries.read(store, V)
    assert found is not None
    assert b"datalad-id" not in entries.entry_of(URL, V, found).section


def test_what_was_written_is_read_again(store: Store) -> None:
    made = {}
    for name, foreign in (("v1", False), ("v2", True), ("V.3-x", False)):
        visit = put_deposit(store, Visit("p", name), foreign=foreign)
        found = entries.read(store, visit)
        assert found is not None
        made[name] = entries.entry_of(URL, visit, found)
    content = entries.gitmodules(made.values())
    links = {name: entry.commit for name, entry in made.items()}
    assert entries.parse(content, links) == made
    assert entries.parse(b"", {}) == {}
    # Anything else was not written here.
    assert entries.parse(content, links | {"v4": "a" * 40}) is None
    assert entries.parse(content, {"v1": links["v1"]}) is None
    assert entries.parse(b"# by hand\n" + content, links) is None
    assert entries.parse(content + b"x", links) is None
    assert entries.parse(content.replace(b"path = v1", b"path = v2"), links) is None


def test_an_entry_is_another_one_if_commit_or_address_differ() -> None:
    assert Entry("a", b"x") == Entry("a", b"x")
    assert Entry("a", b"x") != Entry("b", b"x")
    assert Entry("a", b"x") != Entry("a", b"y")
