"""Workers of two users in a store that their group shares, each with a umask of its own.

A login shell has 002, a service or a batch system 022, 027 or 077, and nobody sees which
until two workers meet in one work folder. As root the two are real users.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.chaos_project import PROJECT, build_visits
from support.faulty_store import FaultyStore
from support.users import (
    GROUP,
    OTHER_WORKER,
    ROOT,
    WORKER,
    User,
    give,
    run_as,
    shared_folder,
)

from icfqueue.core import steps
from icfqueue.core.errors import NetworkTrouble, StepError, TransientError
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.steps import registry
from icfqueue.steps.failures import as_step_error
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

VISIT = Visit(PROJECT, "visit_00")
URL = "https://data.example.org"
PAIRS = [
    (0o002, 0o002),
    (0o007, 0o007),
    (0o002, 0o022),
    (0o022, 0o022),
    (0o027, 0o002),
    (0o002, 0o077),
]
SETGID = [0o2775, 0o775]


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one")
    return root / build_visits(root, 1)[0].storepath


@pytest.fixture(params=SETGID, ids=["setgid", "no setgid"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store directory with one project, which a group shares."""
    with shared_folder() as base:
        made = base / "store"
        for folder in (made, made / PROJECT):
            folder.mkdir()
            give(folder, mode=request.param)
        monkeypatch.setenv("HOME", str(base))
        yield made


def job_in(root: Path, url: str = URL, **options: bool) -> Job:
    return Job(
        VISIT,
        Options(url, **options),
        Store(root),
        Settings(store_dir=root, store_url=url, keep_free=0),
    )


def as_worker(user: User, umask: int, root: Path, step: str, **options: bool) -> None:
    run_as(replace(user, umask=umask), lambda: registry.run(step, job_in(root, **options)))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "{:03o}-{:03o}".format(*pair))
def test_two_workers_of_one_group_take_over_from_each_other(
    root: Path, tarball: Path, pair: tuple[int, int]
) -> None:
    """Each step by another user; the second forces what the first has done."""
    target = root / VISIT.storepath
    target.write_bytes(tarball.read_bytes())
    give(target, WORKER, 0o664)
    users = list(zip((WORKER, OTHER_WORKER), pair, strict=True))
    for force in (False, True):
        for number, name in enumerate(steps.NAMES):
            user, umask = users[(number + force) % 2]
            as_worker(user, umask, root, name, force=force)
    project = root / PROJECT
    assert not (project / ".icfqueue").exists()
    for path in project.rglob("*"):
        found = path.stat()
        assert found.st_gid == GROUP, path
        assert found.st_mode & 0o070 == (0o070 if path.is_dir() else 0o060), path


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "{:03o}-{:03o}".format(*pair))
def test_a_download_that_one_user_began_is_gone_on_with_by_the_other(
    root: Path, tarball: Path, pair: tuple[int, int]
) -> None:
    """The part and its note are the group's, so no byte comes twice."""
    web = root.parent / "web"
    (web / PROJECT).mkdir(parents=True)
    (web / VISIT.storepath).write_bytes(tarball.read_bytes())
    size = tarball.stat().st_size
    with FaultyStore(web, auth=False) as store:
        store.fail("cut", path="*_dicom.tar", after=size // 2, method="GET")

        def fetch() -> None:
            registry.run("fetch", job_in(root, store.url))

        with pytest.raises(NetworkTrouble):
            run_as(replace(WORKER, umask=pair[0]), fetch)
        assert [path for path in root.rglob("part-*") if path.suffix != ".json"]
        store.clear()
        run_as(replace(OTHER_WORKER, umask=pair[1]), fetch)
        asked = [head for *_, head in store.seen if "Range" in head]
        assert [head["Range"] for head in asked] == [f"bytes={size // 2}-"]
    assert (root / VISIT.storepath).stat().st_size == size


def paste(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


@pytest.mark.skipif(not ROOT, reason="only root can be two users")
def test_a_work_folder_that_keeps_the_group_out_is_waited_for_and_mended_as_said(
    root: Path, tarball: Path
) -> None:
    """As an older release, or a person, has made it; the hint's command is run."""
    target = root / VISIT.storepath
    target.write_bytes(tarball.read_bytes())
    give(target, WORKER, 0o664)
    work = root / PROJECT / ".icfqueue" / VISIT.id
    run_as(replace(WORKER, umask=0o022), lambda: work.mkdir(parents=True))

    def attempt() -> StepError | None:
        try:
            registry.run("index_tar", job_in(root))
        except OSError as error:
            return as_step_error(error)
        return None

    found = run_as(OTHER_WORKER, attempt)
    assert type(found) is TransientError
    assert str(work) in found.message
    said, _, command = found.hint.partition(f"As {WORKER.uid} or root: ")
    assert said.startswith(f"{work.parent} belongs to user {WORKER.uid} ")
    run_as(WORKER, lambda: paste(command.removesuffix(". The visit is tried again")))
    # The next try removes the visit's own folder, which is empty, and that after it works.
    assert [run_as(OTHER_WORKER, attempt) for _ in range(2)][-1] is None
