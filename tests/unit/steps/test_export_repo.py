"""The step `export_repo`: looking first, same bytes everywhere, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from support import datasets
from support.guards import MindingGuard
from support.reading import counted_opens

from icfqueue.core.errors import (
    BadTarball,
    Cancelled,
    NotSeen,
    PermanentError,
    TarballChanged,
)
from icfqueue.core.processes import faultpoint
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.demo.visits import members_of_visit, shipped
from icfqueue.outputs import deposit, tarball_index
from icfqueue.steps import export_repo
from icfqueue.steps.job import Job

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job("visit_1")


def record(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "md5": MD5, "size": 7, **more}


def put_images(job: Job) -> None:
    datasets.put_visit(job, members_of_visit(job.visit, shipped(datasets.SOURCE)))


def test_it_tells_what_it_deposited(job: Job) -> None:
    datasets.put_metadata(job, [record("a/b.dcm"), record("a/c.dcm", SeriesNumber=3)])
    outcome = export_repo.run(job)
    assert outcome.worked
    assert (outcome.tar_bytes, outcome.dicoms) == (10, 2)
    assert outcome.refs is not None
    assert list(outcome.refs) == ["refs/heads/git-annex", "refs/heads/master"]
    found = deposit.read(job.store, job.visit)
    assert found is not None
    assert found.refs == outcome.refs
    work = job.store.work_dir(job.visit)
    assert {path.name for path in work.iterdir()} == {
        tarball_index.INDEX,
        tarball_index.OFFSETS,
    }


def test_done_is_done_unless_it_is_forced(
    job: Job, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started when the deposit is there; forced, the same bytes come out."""
    datasets.put_metadata(job, [record("a.dcm")])
    first = export_repo.run(job)
    before = datasets.deposit_bytes(job)
    with monkeypatch.context() as patch:
        patch.setattr(export_repo, "build", lambda *_, **__: pytest.fail("built again"))
        again = export_repo.run(job)
    assert not again.worked
    assert (again.refs, again.dicoms, again.tar_md5) == (
        first.refs,
        first.dicoms,
        first.tar_md5,
    )
    assert export_repo.run(make_job("visit_1", force=True)).refs == first.refs
    assert datasets.deposit_bytes(job) == before


@pytest.mark.parametrize("what", ["tarball", "dicoms", "store URL", "refs", "zip"])
def test_a_deposit_that_is_not_this_visits_is_made_anew(
    what: str, job: Job, make_job: Callable[..., Job]
) -> None:
    datasets.put_metadata(job, [record("a.dcm")])
    first = export_repo.run(job)
    before = datasets.deposit_bytes(job)
    if what == "tarball":
        datasets.put_metadata(job, [record("a.dcm")], tarball=b"another")
    elif what == "dicoms":
        datasets.put_metadata(job, [record("a.dcm", Modality="MR")])
    elif what == "store URL":
        job = make_job("visit_1", store_url="https://other.example.org")
    else:
        name = job.visit.refs if what == "refs" else job.visit.repo_export
        job.store.path(job.visit, name).write_bytes(b"")
    second = export_repo.run(job)
    assert second.worked
    assert not export_repo.run(job).worked
    if what in {"refs", "zip"}:
        assert datasets.deposit_bytes(job) == before
    else:
        assert second.refs != first.refs


def test_another_tools_deposit_is_replaced_only_by_force(
    job: Job, make_job: Callable[..., Job]
) -> None:
    datasets.put_metadata(job, [record("a.dcm")])
    export_repo.run(job)
    path = job.store.path(job.visit, job.visit.repo_export)
    from zipfile import ZipFile

    with ZipFile(path, "a") as export:
        export.comment = b""
    before = datasets.deposit_bytes(job)
    with pytest.raises(PermanentError, match="another tool") as caught:
        export_repo.run(job)
    assert "--force" in caught.value.hint
    assert datasets.deposit_bytes(job) == before
    assert export_repo.run(make_job("visit_1", force=True)).worked


SCRIPT = """
import os, sys, time
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.core.options import Options
from icfqueue.steps.job import Job
from icfqueue.core.settings import Settings
from icfqueue.store.directory import Store
from icfqueue.core.visit import Visit
job = Job(Visit("study_1", "visit_1"), Options(store_url="https://data.example.org"),
          Store(Path(sys.argv[1])), Settings())
for step in (index_tar, write_json, export_repo):
    step.run(job)
"""


def test_two_machines_write_the_same_bytes(job: Job, tmp_path: Path) -> None:
    """Another folder, home, git configuration, locale, time zone, umask and moment."""
    put_images(job)
    root, home = tmp_path / "elsewhere" / "store", tmp_path / "home"
    (root / "study_1").mkdir(parents=True)
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Other\n\temail = o@example.org\n[core]\n\tcompression = 0\n"
        "\tbigFileThreshold = 1\n[pack]\n\tcompression = 0\n\tdepth = 0\n"
        "[init]\n\tdefaultBranch = other\n[annex]\n\tbackend = SHA1\n"
    )
    tarball = job.store.path(job.visit, job.visit.tarball)
    (root / "study_1" / job.visit.tarball).write_bytes(tarball.read_bytes())
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root), "077"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "TZ": "Pacific/Auckland",
            "LC_ALL": "C",
            "GIT_AUTHOR_DATE": "1 +0000",
            "GIT_COMMITTER_NAME": "Somebody",
            "GIT_DEFAULT_HASH": "sha256",
            "GIT_OBJECT_DIRECTORY": str(home),
        },
        cwd=home,
        check=True,
    )
    there = [root / "study_1" / name for name in (job.visit.refs, job.visit.repo_export)]
    assert tuple(path.read_bytes() for path in there) == datasets.deposit_bytes(job)


def test_dates_come_from_the_index_the_tarball_or_the_old_deposit(
    job: Job, make_job: Callable[..., Job]
) -> None:
    """All the same date; where none is left, the error says what to do."""
    put_images(job)
    before = datasets.deposit_bytes(job)
    forced = make_job("visit_1", force=True)
    job.store.forget_work(job.visit)
    export_repo.run(forced)
    assert datasets.deposit_bytes(job) == before
    tarball = job.store.path(job.visit, job.visit.tarball)
    content = tarball.read_bytes()
    tarball.write_bytes(content + b"x")
    with pytest.raises(TarballChanged, match=f"{len(content) + 1} bytes"):
        export_repo.run(forced)
    tarball.unlink()
    export_repo.run(forced)
    assert datasets.deposit_bytes(job) == before
    job.store.path(job.visit, job.visit.refs).unlink()
    job.store.path(job.visit, job.visit.repo_export).unlink()
    with pytest.raises(PermanentError, match="dates") as caught:
        export_repo.run(job)
    assert "--force" in caught.value.hint


def test_without_metadata_it_says_so(job: Job) -> None:
    with pytest.raises(PermanentError, match="no metadata of study_1/visit_1"):
        export_repo.run(job)
    assert not job.store.path(job.visit, job.visit.refs).exists()


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["a\nb"], "a\\nb"),
        (["/absolute"], "/absolute"),
        (["../up"], "../up"),
        (["a/./b"], "a/./b"),
        (["a//b"], "a//b"),
        (["a/"], "a/"),
        ([""], "''"),
        (["x" * 256], "x" * 256),
        (["\udcff"], "udcff"),
        (["a", "a"], "'a'"),
        (["a", "a/b"], "'a'"),
        (["a/b/c", "a/b"], "'a/b'"),
        (["icf/visit_1_dicom.tar"], "icf/visit_1_dicom.tar"),
        (["icf"], "'icf'"),
        ([".datalad"], ".datalad"),
        ([".datalad/config"], ".datalad/config"),
        ([".gitattributes"], ".gitattributes"),
        (["x/.git/config"], "x/.git/config"),
        (["x/.GiT/config"], "x/.GiT/config"),
    ],
)
def test_what_cannot_be_in_a_tree_is_refused_by_name(
    paths: list[str], named: str, job: Job
) -> None:
    """Also if `index_tar` never saw it; nothing is left behind."""
    datasets.put_metadata(job, [record(path) for path in paths])
    with pytest.raises(BadTarball) as caught:
        export_repo.run(job)
    assert named in caught.value.message
    assert not job.store.path(job.visit, job.visit.repo_export).exists()
    assert not list(job.store.work_dir(job.visit).glob("tmp-*"))


def test_a_running_git_annex_serves_several_visits(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(f"visit_{number}") for number in range(3)]
    with KeySource() as keys:
        for job in jobs:
            datasets.put_metadata(job, [record("a.dcm")])
            export_repo.run(job, keys)
    assert len({datasets.deposit_bytes(job) for job in jobs}) == 3


def test_references_come_with_the_deposit_if_they_are_wished_or_were_there(
    job: Job, make_job: Callable[..., Job]
) -> None:
    """Never those of an older deposit beside a newer one."""
    file = job.store.path(job.visit, job.visit.metadata_references)
    put_images(job)
    assert not file.exists()
    forced = make_job("visit_1", force=True)
    wished = structs.replace(job.settings, publish_references=True)
    datasets.put_metadata(job, [record("a.dcm")])
    export_repo.run(replace(forced, settings=wished))
    first = file.read_text()
    assert (
        '"a.dcm": ["https://data.example.org/study_1/visit_1_dicom.tar", 512, 7]' in first
    )
    datasets.put_metadata(job, [record("b.dcm")])
    export_repo.run(forced)
    assert '"b.dcm"' in file.read_text()
    assert '"a.dcm"' not in file.read_text()
    # Where the places are not known any more, there can be none.
    datasets.put_metadata(job, [record("c.dcm")], tarball=b"another")
    tarball_index.offsets_path(job.store, job.visit).unlink()
    job.store.path(job.visit, job.visit.tarball).unlink()
    export_repo.run(forced)
    assert not file.exists()


def test_a_kill_at_any_publication_leaves_a_deposit_whole_or_without_refs(
    job: Job, make_job: Callable[..., Job]
) -> None:
    """Killed by SIGKILL before and after each file appears; run again, all is right.

    The older deposit, which is in the way, is what the new one stands on.
    """
    datasets.put_metadata(job, [record("old.dcm")])
    export_repo.run(job)
    older = datasets.deposit_bytes(job)
    job.store.path(job.visit, job.visit.metadata_tarball).unlink()
    put_images(make_job("visit_1", force=True))
    wanted = datasets.deposit_bytes(job)
    script = SCRIPT.replace('org"', 'org", force=True')
    for moment in ("before", "after"):
        for name in (job.visit.refs, job.visit.repo_export):
            datasets.put_deposit(job, older)
            for old in (job.visit.metadata_tarball, job.visit.metadata_dicoms):
                job.store.path(job.visit, old).unlink()
            job.store.forget_work(job.visit)
            env = {**os.environ, faultpoint.VARIABLE: f"{moment} {name}"}
            args = [sys.executable, "-c", script, str(job.store.root), "022"]
            assert subprocess.run(args, env=env, check=False).returncode == -9
            found = deposit.read(job.store, job.visit)
            assert job.store.path(job.visit, job.visit.refs).exists() == (found is not None)
            export_repo.run(job)
            assert datasets.deposit_bytes(job) == wanted


def test_called_off_between_any_two_safe_points_it_leaves_nothing(job: Job) -> None:
    datasets.put_metadata(job, [record(f"{n}.dcm", md5=f"{n:032}") for n in range(1200)])
    for after in range(20):
        off = Job(job.visit, job.options, job.store, job.settings, MindingGuard(after))
        try:
            export_repo.run(off)
        except Cancelled:
            assert deposit.read(job.store, job.visit) is None
            assert not list(job.store.work_dir(job.visit).glob("tmp-*"))
        else:
            break
    assert after > 5
    assert deposit.read(job.store, job.visit) is not None


@pytest.mark.parametrize("done", [False, True])
def test_the_list_of_dicoms_is_read_once(job: Job, done: bool) -> None:
    """Whether its MD5 is enough or a dataset is made of it: it may have 30 MB."""
    datasets.put_metadata(job, [record("a.dcm"), record("b.dcm", SeriesNumber=3)])
    if done:
        export_repo.run(job)
    else:
        # A deposit of other metadata is in the way: its word is compared first.
        datasets.put_metadata(job, [record("old.dcm")])
        export_repo.run(job)
        datasets.put_metadata(job, [record("a.dcm"), record("b.dcm", SeriesNumber=3)])
    with counted_opens() as opens:
        assert export_repo.run(job).worked is not done
    assert opens[job.visit.metadata_dicoms] == 1


def test_metadata_that_are_not_seen_or_old_are_waited_for(job: Job) -> None:
    late = replace(job, vouched=True, md5="0" * 32)
    with pytest.raises(NotSeen, match="no metadata"):
        export_repo.run(late)
    datasets.put_metadata(job, [record("a.dcm")])
    with pytest.raises(NotSeen, match="new metadata"):
        export_repo.run(late)
    job.store.path(job.visit, job.visit.metadata_dicoms).unlink()
    with pytest.raises(NotSeen, match="metadata_dicoms"):
        export_repo.run(replace(late, md5=None))
