"""A deposit that is replaced goes forward: old clones update, old commits check out."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import datasets
from support.datasets import call

from icfqueue.dataset import clone as clones
from icfqueue.demo.visits import NEWEST
from icfqueue.outputs import deposit
from icfqueue.steps import export_repo
from icfqueue.steps.job import Job

pytestmark = pytest.mark.spread

ONE, TWO, THREE, FOUR = datasets.images(4)
OLD = [("v/a.dcm", ONE), ("v/b.dcm", TWO), ("v/c.dcm", THREE)]
NEW = [("v/a.dcm", ONE), ("v/new/c.dcm", THREE), ("v/d.dcm", FOUR)]
"""One image has gone, one has moved, one is new."""


@pytest.fixture
def folder() -> object:
    """A folder in no repository, as DataLad's helper wants it."""
    made = clones.folder_of_its_own("icfqueue-test-")
    yield made
    clones.remove(made)


def clone(job: Job, folder: Path, name: str = "clone") -> Path:
    url = deposit.clone_url(job.store.root.as_uri(), job.visit)
    call("datalad", "clone", url, str(folder / name), cwd=folder)
    return folder / name


def commits(job: Job, folder: Path) -> list[str]:
    repo = datasets.unpacked(job, folder)
    return datasets.git(repo, "log", "--format=%H", "master").decode().split()


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    made = make_job("visit_1", force=True)
    url = made.store.root.as_uri()
    return replace(made, options=replace(made.options, store_url=url))


def test_an_old_clone_is_updated_and_loses_what_has_gone(job: Job, folder: Path) -> None:
    datasets.put_visit(job, OLD)
    old = clone(job, folder)
    again = folder / "again"
    call("datalad", "clone", str(old), str(again), cwd=folder)
    before = call("git", "rev-parse", "HEAD", cwd=old).strip()
    call("datalad", "get", "v/b.dcm", cwd=old)
    gone = (old / "v/b.dcm").readlink().name
    datasets.put_visit(job, NEW)

    call("datalad", "update", "--how=ff-only", "-s", "origin", cwd=old)
    assert not (old / "v/b.dcm").is_symlink()
    for path, content in (("v/new/c.dcm", THREE), ("v/d.dcm", FOUR), ("v/a.dcm", ONE)):
        call("datalad", "get", path, cwd=old)
        assert (old / path).read_bytes() == content
    call("git", "annex", "fsck", "--fast", cwd=old)
    told = call("git", "annex", "whereis", f"--key={gone}", cwd=old)
    assert "[archivist]" not in told
    # The image that was got stays, and the old commit is still there.
    call("git", "checkout", "-q", before, cwd=old)
    assert (old / "v/b.dcm").read_bytes() == TWO
    assert "dl+archive" not in call("git", "annex", "whereis", f"--key={gone}", cwd=old)

    call("git", "checkout", "-q", "master", cwd=old)
    call("datalad", "update", "--how=ff-only", "-s", "origin", cwd=again)
    call("datalad", "get", "v/d.dcm", cwd=again)
    assert hashlib.md5((again / "v/d.dcm").read_bytes()).digest() == (
        hashlib.md5(FOUR).digest()
    )


def test_a_clone_that_skipped_a_deposit_is_not_told_of_what_has_gone(
    job: Job, folder: Path
) -> None:
    """With a git-annex branch of its own, which is merged line by line."""
    datasets.put_visit(job, OLD)
    old = clone(job, folder)
    call("datalad", "get", "v/a.dcm", cwd=old)
    gone = (old / "v/b.dcm").readlink().name
    datasets.put_visit(job, NEW)
    datasets.put_visit(job, [("v/e.dcm", FOUR)])
    call("datalad", "update", "--how=ff-only", "-s", "origin", cwd=old)
    assert [path.name for path in (old / "v").iterdir()] == ["e.dcm"]
    asked = ["git", "annex", "whereis", f"--key={gone}"]
    told = subprocess.run(asked, cwd=old, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "(0 copies)" in told.stdout
    call("datalad", "get", "v/e.dcm", cwd=old)
    assert (old / "v/e.dcm").read_bytes() == FOUR


def test_a_deposit_of_the_format_before_is_made_anew_upon_itself(
    job: Job, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the tarball is here; forced or not. Its clones can be updated."""
    plain = replace(job, options=replace(job.options, force=False))
    with monkeypatch.context() as patch:
        # What was written before said nothing of places, and called itself 1.
        patch.setattr(export_repo.tarball_index, "read_offsets", lambda *_: None)
        datasets.put_visit(plain, OLD)
    found = deposit.read(job.store, job.visit)
    assert found is not None
    assert found.source is not None
    assert found.source.format == 1
    old = clone(job, folder)
    before = call("git", "rev-parse", "HEAD", cwd=old).strip()
    job.store.forget_work(job.visit)

    tarball = job.store.path(job.visit, job.visit.tarball)
    tarball.rename(tmp_path / "tarball")
    for way in (plain, job):
        assert not export_repo.run(way).worked, "without the tarball it stays as it is"
    (tmp_path / "tarball").rename(tarball)
    assert export_repo.run(plain).worked
    assert not export_repo.run(plain).worked
    assert not export_repo.run(job).worked
    assert commits(job, tmp_path / "unpacked")[-1] == before
    call("datalad", "update", "--how=ff-only", "-s", "origin", cwd=old)
    key = (old / "v/b.dcm").readlink().name
    log = call("git", "log", "-1", "--format=%H", "origin/git-annex", cwd=old).strip()
    states = call("git", "ls-tree", "-r", "--name-only", log, cwd=old)
    assert f"{key}.log.rmt" in states


def test_the_same_history_gives_the_same_bytes(job: Job, tmp_path: Path) -> None:
    """Also when the new tarball is older than the old one, or nothing has changed."""
    datasets.put_visit(job, OLD)
    first = datasets.deposit_bytes(job)
    assert not export_repo.run(job).worked
    assert datasets.deposit_bytes(job) == first
    datasets.put_visit(job, NEW)
    second = datasets.deposit_bytes(job)
    assert len(commits(job, tmp_path / "unpacked")) == 2

    datasets.put_deposit(job, first)
    assert export_repo.run(job).worked
    assert datasets.deposit_bytes(job) == second


def test_a_worker_that_died_between_repository_and_refs_loses_no_history(
    job: Job,
) -> None:
    datasets.put_visit(job, OLD)
    old_export = job.store.path(job.visit, job.visit.repo_export).read_bytes()
    datasets.put_visit(job, NEW)
    refs = job.store.path(job.visit, job.visit.refs)
    whole = datasets.deposit_bytes(job)
    refs.unlink()
    assert export_repo.run(job).worked
    assert datasets.deposit_bytes(job) == whole
    refs.unlink()
    job.store.path(job.visit, job.visit.repo_export).write_bytes(old_export)
    assert export_repo.run(job).worked
    assert datasets.deposit_bytes(job) == whole


def test_a_damaged_deposit_is_replaced_by_one_that_begins_anew(
    job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datasets.put_visit(job, OLD)
    path = job.store.path(job.visit, job.visit.repo_export)
    content = bytearray(path.read_bytes())
    at = content.index(b"PACK") + 40
    content[at : at + 20] = bytes(20)
    path.write_bytes(content)
    assert export_repo.run(job).worked
    assert len(commits(job, tmp_path / "unpacked")) == 1
    assert "damaged" in caplog.text
    datasets.git(tmp_path / "unpacked", "fsck", "--full")


def test_what_has_changed_is_newer_and_what_has_not_is_as_it_was(
    job: Job, tmp_path: Path
) -> None:
    """Also where the files of the new tarball are no newer than those of the old one."""
    datasets.put_visit(job, OLD)
    before = datasets.tree(datasets.unpacked(job, tmp_path / "before"), "git-annex")
    datasets.put_visit(job, NEW)
    repo = datasets.unpacked(job, tmp_path / "unpacked")
    assert int(datasets.git(repo, "log", "-1", "--format=%ct", "master")) == NEWEST + 1
    changed = set()
    for path, entry in datasets.tree(repo, "git-annex").items():
        if before.get(path) == entry or path in {b"uuid.log", b"remote.log"}:
            continue
        changed.add(path.rpartition(b".log")[2])
        for line in entry.content.splitlines():
            assert line.startswith(b"%ds " % (NEWEST + 1))
    assert changed == {b"", b".web", b".rmt", b".met"}
    # The image that stayed where it was is still in the archivist.
    key = hashlib.md5(ONE).hexdigest().encode()
    (log,) = [path for path in before if path.endswith(key + b".dcm.log")]
    assert datasets.tree(repo, "git-annex")[log] == before[log]
