"""From metadata to both branches, on the real git and git-annex."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.datasets import EMPTY_TAGS, git, tree
from support.guards import CountingGuard, MindingGuard

from icfqueue.core.errors import BadTarball, Cancelled
from icfqueue.core.visit import Visit
from icfqueue.dataset import branches
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.dataset.build import build
from icfqueue.outputs.deposit import HEAD, Source
from icfqueue.outputs.ids import dataset_id, remote_uuid

V = Visit("study_1", "v1")
URL = "https://data.example.org"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
SOURCE = Source(f"{URL}/{V.storepath}", "c" * 32, 10, 1_374_063_300, "d" * 32, 2)


def record(path: str, **more: object) -> dict[str, Any]:
    return {"path": path, "md5": MD5, "size": 7, **EMPTY_TAGS, **more}


def test_both_branches_hold_what_the_metadata_say(repo: Path) -> None:
    build(repo, V, URL, SOURCE, [record("a/b.dcm", Modality="MR"), record("ü c.IMA")])
    links = tree(repo, "master")
    assert set(links) == {
        *(b".datalad/.gitattributes", b".datalad/config", b".gitattributes"),
        *(b"icf/v1_dicom.tar", b"a/b.dcm", "ü c.IMA".encode()),
    }
    assert links[b"a/b.dcm"].content.endswith(f"/MD5E-s7--{MD5}.dcm".encode())
    assert links["ü c.IMA".encode()].content.endswith(f"/MD5E-s7--{MD5}.IMA".encode())
    assert links[b"icf/v1_dicom.tar"].content.endswith(b"/MD5E-s10--" + b"c" * 32 + b".tar")
    assert str(dataset_id(URL, V)).encode() in links[b".datalad/config"].content
    logs = tree(repo, "git-annex")
    for name in (branches.UNCURL, branches.ARCHIVIST):
        assert str(remote_uuid(URL, V, name)).encode() in logs[b"uuid.log"].content
    (web,) = [e.content for p, e in logs.items() if p.endswith(b".tar.log.web")]
    assert web.endswith(f":{URL}/study_1/v1_dicom.tar\n".encode())


def test_dates_are_the_tarballs_and_the_committer_is_nobodys(repo: Path) -> None:
    build(repo, V, URL, SOURCE, [record("a.dcm")])
    for ref in ("master", "git-annex"):
        shown = git(repo, "log", "-1", "--format=%at %ct %an %s", ref)
        assert shown == b"1374063300 1374063300 icfqueue study_1 v1: 1 DICOM files\n"


def test_the_list_is_let_go_of_before_git_runs(repo: Path) -> None:
    """It is the largest part of what a large visit needs of memory."""
    records = [record("a.dcm")]
    build(repo, V, URL, SOURCE, records)
    assert records == []


def test_progress_is_told_and_the_work_can_be_called_off(repo: Path) -> None:
    guard = CountingGuard()
    build(repo, V, URL, SOURCE, [record(f"{n}.dcm") for n in range(30)], guard=guard)
    assert guard.dicoms == 30
    off = MindingGuard(until=1)
    with pytest.raises(Cancelled):
        build(repo, V, URL, SOURCE, [record(f"{n}") for n in range(2000)], guard=off)
    assert off.running == []


def test_a_git_annex_that_runs_already_is_used_and_goes_on(repo: Path) -> None:
    guard = MindingGuard()
    with KeySource() as keys:
        build(repo, V, URL, SOURCE, [record("a.dcm")], keys=keys, guard=guard)
        process = guard.seen[0]
        assert list(keys.keys([], guard)) == []
        assert keys._child is not None
        assert keys._child.process.pid == process
        assert keys._child.process.poll() is None


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ([""], "no dataset can hold"),
        (["/a"], "no dataset can hold"),
        (["a/../b"], "no dataset can hold"),
        (["a\0b"], "no dataset can hold"),
        (["a\nb"], "no dataset can hold"),
        (["x" * 256], "no dataset can hold"),
        (["\udcff"], "not UTF-8"),
        (["a", "a"], "'a' is there twice"),
        ([".gitattributes"], "called like a file of the dataset"),
        (["icf/v1_dicom.tar"], "'icf/v1_dicom.tar' is there twice"),
        (["icf"], "'icf' is both a file and a folder"),
        ([".datalad"], "'.datalad' is both a file and a folder"),
        (["a/b/c", "a/b"], "'a/b' is both a file and a folder"),
        (["x/.GIT/config"], "git refuses to check out"),
    ],
)
def test_what_cannot_lie_in_one_tree_is_refused_by_name(
    repo: Path, paths: list[str], words: str
) -> None:
    """Git itself would let a folder silently replace a file."""
    with pytest.raises(BadTarball) as caught:
        build(repo, V, URL, SOURCE, [record(path) for path in paths])
    assert words in caught.value.message
    assert caught.value.hint


def test_nothing_is_started_for_a_tree_that_cannot_be(
    repo: Path, program: Callable[[str, str], None]
) -> None:
    program("git-annex", "exit 9")
    program("git", "exit 9")
    with pytest.raises(BadTarball):
        build(repo, V, URL, SOURCE, [record("a"), record("a/b")])


def test_the_branch_is_the_one_that_a_deposit_names(repo: Path) -> None:
    build(repo, V, URL, SOURCE, [record("a.dcm")])
    assert git(repo, "symbolic-ref", "HEAD").strip() == HEAD.encode()
