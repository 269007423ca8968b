"""The two files of a deposit: what is whole, what is not, what a kill leaves."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.guards import LosingGuard

from icfqueue.core.errors import LeaseLost
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.dataset import repository
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import Deposit, Source
from icfqueue.steps.job import Job
from icfqueue.store.fingerprint import Fingerprint

REFS = {"refs/heads/master": "a" * 40, "refs/heads/git-annex": "b" * 40}
SOURCE = Source(
    url="https://store.example.org/p/v_dicom.tar",
    md5="c" * 32,
    size=10,
    newest=5,
    metadata="d" * 32,
    dicoms=3,
)


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job("visit_1")


def bare(folder: Path, refs: dict[str, str] = REFS) -> Path:
    """A repository as git leaves it, with a pack that nobody looks into."""
    repo = repository.make_bare(folder)
    for ref, sha in refs.items():
        (repo / ref).write_text(f"{sha}\n")
    for suffix in ("pack", "idx"):
        (repo / f"objects/pack/pack-{'e' * 40}.{suffix}").write_bytes(b"content")
    return repo


def put(job: Job, source: Source = SOURCE, guard: Guard = UNGUARDED) -> bool:
    with job.store.scratch(job.visit) as scratch:
        repo = bare(scratch / "repo")
        refs = deposit.pack_refs(repo)
        deposit.write_export(repo, scratch / "export", source)
        return deposit.publish(job.store, job.visit, scratch / "export", refs, guard)


def files(job: Job) -> list[Path]:
    return [job.store.path(job.visit, n) for n in (job.visit.refs, job.visit.repo_export)]


def test_what_was_deposited_is_read_again(job: Job) -> None:
    assert deposit.read(job.store, job.visit) is None
    assert put(job)
    assert deposit.read(job.store, job.visit) == Deposit(REFS, SOURCE)
    lines = files(job)[0].read_text().splitlines()
    assert lines[0] == f"{'b' * 40} refs/heads/git-annex"
    assert lines[-1] == "@refs/heads/master HEAD"


def test_the_same_deposit_is_not_published_again(job: Job) -> None:
    put(job)
    before = [Fingerprint.of(path.stat()) for path in files(job)]
    assert not put(job)
    assert [Fingerprint.of(path.stat()) for path in files(job)] == before


def test_the_zip_has_no_trace_of_where_and_when_it_was_made(tmp_path: Path) -> None:
    """Times, order and modes are fixed; logs, indexes and hooks stay behind."""
    repo = bare(tmp_path / "repo")
    deposit.pack_refs(repo)
    (repo / "index").write_bytes(b"x")
    (repo / "hooks").mkdir()
    (repo / "hooks" / "update").write_bytes(b"x")
    (repo / "objects/pack/pack-x.keep").write_bytes(b"x")
    (repo / "config").chmod(0o600)
    deposit.write_export(repo, tmp_path / "export", SOURCE)
    with zipfile.ZipFile(tmp_path / "export") as export:
        assert export.testzip() is None
        entries = export.infolist()
    assert [entry.filename for entry in entries] == [
        "HEAD",
        "config",
        "objects/",
        "objects/pack/",
        f"objects/pack/pack-{'e' * 40}.idx",
        f"objects/pack/pack-{'e' * 40}.pack",
        "packed-refs",
        "refs/",
        "refs/heads/",
    ]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644, 0o40755}


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_deposit_is_none(job: Job, which: int) -> None:
    """Missing, empty, cut off anywhere, or with another one's refs."""
    put(job)
    path = files(job)[which]
    whole = path.read_bytes()
    for keep in (*range(0, len(whole), max(1, len(whole) // 97)), len(whole) - 1):
        path.write_bytes(whole[:keep])
        assert deposit.read(job.store, job.visit) is None, keep
    path.write_bytes(whole.replace(b"a" * 40, b"f" * 40))
    assert deposit.read(job.store, job.visit) is None
    path.unlink()
    assert deposit.read(job.store, job.visit) is None


def test_a_repository_without_its_pack_is_none(job: Job) -> None:
    put(job)
    path = files(job)[1]
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist() if "pack-" not in name}
        comment = old.comment
    with zipfile.ZipFile(path, "w") as new:
        new.comment = comment
        for name, content in parts.items():
            new.writestr(name, content)
    assert deposit.read(job.store, job.visit) is None


@pytest.mark.parametrize(
    "comment", [b"", b"hello", b"{}", b'{"icfqueue": {"x": 1}}', b"\xff"]
)
def test_another_tools_deposit_is_whole_but_of_unknown_source(
    job: Job, comment: bytes
) -> None:
    put(job)
    with zipfile.ZipFile(files(job)[1], "a") as export:
        export.comment = comment
    assert deposit.read(job.store, job.visit) == Deposit(REFS, None)


def test_at_no_moment_do_refs_stand_beside_another_repository(job: Job) -> None:
    """The work is called off before each publication in turn; trying again ends well."""
    put(job)
    newer = replace(SOURCE, newest=6)
    for allowed in range(3):
        with pytest.raises(LeaseLost):
            put(job, newer, LosingGuard(allowed))
        found = deposit.read(job.store, job.visit)
        assert found is None or found.source == SOURCE
        assert files(job)[0].exists() == (found is not None)
        put(job)
    assert put(job, newer, LosingGuard(3))
    assert deposit.read(job.store, job.visit) == Deposit(REFS, newer)


def test_the_clone_address_is_what_datalad_takes(job: Job) -> None:
    of_all = deposit.clone_url("https://store.example.org/", "study_1")
    assert of_all.endswith("&url=https://store.example.org/study_1/{{annex_key}}")
    assert deposit.clone_url("https://store.example.org/", job.visit) == (
        "datalad-annex::?type=external&externaltype=uncurl&encryption=none"
        "&url=https://store.example.org/study_1/visit_1_{{annex_key}}"
    )
