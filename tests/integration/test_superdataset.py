"""One clone for a whole project, as a scientist makes it: over HTTP, with a password."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import datasets
from support.datasets import call
from support.superdatasets import remove_deposit

from icfqueue.dataset.superdataset import renewal
from icfqueue.demo.server import DemoStore
from icfqueue.outputs import deposit, ids
from icfqueue.steps.job import Job

pytestmark = pytest.mark.spread

PROJECT = "study_1"


@pytest.fixture
def visits(web: DemoStore, make_job: Callable[..., Job]) -> list[Job]:
    """Two visits, deposited."""
    jobs = [make_job(f"visit_{number}", store_url=web.url) for number in (1, 2)]
    for number, job in enumerate(jobs):
        put(job, number)
    renew(jobs)
    return jobs


def put(job: Job, number: int) -> None:
    """Deposit a visit with one image of its own."""
    datasets.put_visit(job, [("a.dcm", datasets.images(number + 1)[number])])


def renew(jobs: list[Job]) -> None:
    first = jobs[0]
    visits = [job.visit for job in jobs]
    renewal.renew(first.store, PROJECT, visits, first.options.store_url)


def clone(web: DemoStore, target: Path) -> Path:
    call("datalad", "clone", deposit.clone_url(web.url, PROJECT), target, cwd=target.parent)
    return target


def commit_of(job: Job) -> str:
    found = deposit.read(job.store, job.visit)
    assert found is not None
    return found.refs[deposit.HEAD]


def check_image(path: Path, number: int) -> None:
    """Fail unless the file is the image that :func:`put` deposited."""
    wanted = hashlib.md5(datasets.images(number + 1)[number]).hexdigest()
    assert hashlib.md5(path.read_bytes()).hexdigest() == wanted


def test_all_visits_come_with_one_clone_and_an_image_through_it(
    web: DemoStore, visits: list[Job], tmp_path: Path
) -> None:
    here = clone(web, tmp_path / "clone")
    assert web.count(status=401)
    identity = call(
        "git", "config", "-f", ".datalad/config", "datalad.dataset.id", cwd=here
    )
    assert identity.strip() == str(ids.superdataset_id(web.url, PROJECT))
    known = call("datalad", "-f", "{path} {gitmodule_datalad-id}", "subdatasets", cwd=here)
    assert known.split() == [
        word
        for job in visits
        for word in (str(here / job.visit.id), str(ids.dataset_id(web.url, job.visit)))
    ]
    assert "README.md" in {path.name for path in here.iterdir()}
    call("datalad", "get", "-n", "visit_2", cwd=here)
    below = here / "visit_2"
    assert call("git", "rev-parse", "HEAD", cwd=below).strip() == commit_of(visits[1])
    image = below / "a.dcm"
    assert image.is_symlink()
    assert not image.exists()
    assert not list((here / "visit_1").iterdir())
    call("datalad", "get", image, cwd=here)
    check_image(image, 1)
    # All of it in one go, and nothing was changed by getting it.
    call("datalad", "get", "-r", ".", cwd=here)
    check_image(here / "visit_1" / "a.dcm", 0)
    assert call("git", "status", "--porcelain", cwd=here) == ""
    call("git", "fsck", "--full", "--strict", cwd=here)


def test_a_clone_is_updated_by_fast_forward_when_visits_come_change_and_go(
    web: DemoStore, visits: list[Job], make_job: Callable[..., Job], tmp_path: Path
) -> None:
    here = clone(web, tmp_path / "clone")
    first = call("git", "rev-parse", "HEAD", cwd=here).strip()
    call("datalad", "get", "-n", "visit_2", cwd=here)
    third = make_job("visit_3", store_url=web.url)
    put(third, 2)
    put(make_job("visit_2", store_url=web.url, force=True), 5)
    remove_deposit(visits[0].store, visits[0].visit)
    renew([*visits, third])
    call("datalad", "update", "-r", "--how=ff-only", cwd=here)
    installed = call("git", "rev-parse", "HEAD", cwd=here / "visit_2").strip()
    assert installed == commit_of(visits[1])
    assert call("git", "status", "--porcelain", cwd=here) == ""
    assert call("git", "merge-base", first, "HEAD", cwd=here).strip() == first
    links = call("git", "ls-files", "--stage", "visit_*", cwd=here).splitlines()
    assert [line.split()[1:4:2] for line in links] == [
        [commit_of(visits[1]), "visit_2"],
        [commit_of(third), "visit_3"],
    ]
    call("datalad", "get", "visit_3/a.dcm", cwd=here)
    check_image(here / "visit_3" / "a.dcm", 2)
    call("datalad", "get", "visit_2/a.dcm", cwd=here)
    check_image(here / "visit_2" / "a.dcm", 5)
    # Where there is nothing new, nothing happens.
    before = call("git", "rev-parse", "HEAD", cwd=here)
    call("datalad", "update", "-r", "--how=ff-only", cwd=here)
    assert call("git", "rev-parse", "HEAD", cwd=here) == before


def test_between_its_two_files_it_can_be_cloned_and_updated(
    web: DemoStore, visits: list[Job], make_job: Callable[..., Job], tmp_path: Path
) -> None:
    """So a writer that dies just there does no harm."""
    folder = visits[0].store.project_dir(PROJECT)
    old = clone(web, tmp_path / "old")
    before = (folder / deposit.REFS).read_bytes()
    third = make_job("visit_3", store_url=web.url)
    put(third, 2)
    renew([third])
    after = (folder / deposit.REFS).read_bytes()
    (folder / deposit.REFS).write_bytes(before)
    new = clone(web, tmp_path / "new")
    call("datalad", "get", "visit_3/a.dcm", cwd=new)
    check_image(new / "visit_3" / "a.dcm", 2)
    call("datalad", "update", "--how=ff-only", cwd=old)
    call("datalad", "get", "visit_1/a.dcm", cwd=old)
    (folder / deposit.REFS).write_bytes(after)
    call("datalad", "update", "--how=ff-only", cwd=old)
    call("datalad", "update", "--how=ff-only", cwd=new)
    heads = {call("git", "rev-parse", "HEAD", cwd=place) for place in (old, new)}
    assert len(heads) == 1


def test_visits_come_from_a_mirror_that_the_clone_is_told_of(
    web: DemoStore, visits: list[Job], tmp_path: Path
) -> None:
    mirror_root = tmp_path / "mirror"
    (mirror_root / "copy").mkdir(parents=True)
    for name in (visits[0].visit.refs, visits[0].visit.repo_export):
        shutil.copy2(
            visits[0].store.path(visits[0].visit, name), mirror_root / "copy" / name
        )
    here = clone(web, tmp_path / "clone")
    asked = web.count(path=f"/{PROJECT}/{visits[0].visit.refs}")
    with DemoStore(mirror_root, auth=False) as mirror:
        url = (
            "datalad-annex::?type=external&externaltype=uncurl&encryption=none"
            f"&url={mirror.url}/copy/{{path_basename}}_{{{{{{{{annex_key}}}}}}}}"
        )
        # As in docs/data-managers.md.
        assert "{path_basename}_{{{{annex_key}}}}" in url
        name = "datalad.get.subdataset-source-candidate-100mirror"
        call("git", "config", name, url, cwd=here)
        call("datalad", "get", "-n", "visit_1", cwd=here)
        assert mirror.count("GET", f"/copy/{visits[0].visit.repo_export}", 200)
    assert web.count(path=f"/{PROJECT}/{visits[0].visit.refs}") == asked
    # The tarball's address is in the visit's dataset.
    call("datalad", "get", "visit_1/a.dcm", cwd=here)
    check_image(here / "visit_1" / "a.dcm", 0)


def test_plain_git_lists_them_too(
    web: DemoStore, visits: list[Job], tmp_path: Path
) -> None:
    here = clone(web, tmp_path / "clone")
    said = call("git", "submodule", "status", cwd=here)
    assert said.split() == [
        word for job in visits for word in (f"-{commit_of(job)}", job.visit.id)
    ]
