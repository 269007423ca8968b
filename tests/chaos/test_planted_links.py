"""Links that a member of the store's group planted: none is followed, none is read.

Who may write in a project puts a link where a worker expects a file or a folder of its
own. Behind it lies the worker's home, which nobody else can even list. All steps are then
done, also anew, and looked at by every command's own functions: the home stays as it was,
nothing of it comes into the store, and the visit ends in a word that names the link, or is
done as if the link was not there. As root the worker and the intruder are two users.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.chaos_project import LONG, PROJECT, build_visits
from support.commands import Icfqueue
from support.users import (
    GROUP,
    INTRUDER,
    OTHER_WORKER,
    ROOT,
    WORKER,
    give,
    run_as,
    shared_folder,
)

from icfqueue.catalog import study
from icfqueue.core import steps
from icfqueue.core.errors import IcfqueueError, StepError, UnsafePath
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import renewal
from icfqueue.operations import audit
from icfqueue.steps import registry
from icfqueue.steps.job import Job
from icfqueue.store.beneath.walk import Links
from icfqueue.store.directory import Store
from icfqueue.store.inventory import present

MARKER = b"-----known to the worker alone-----"
URL = "https://data.example.org"
VISIT = Visit(PROJECT, "visit_00")


@dataclass
class Scene:
    """A store that a group shares, and the home of its worker.

    Attributes
    ----------
    root
        The store directory.
    home
        The worker's, for nobody else to enter.
    """

    root: Path
    home: Path

    @property
    def folder(self) -> Path:
        return self.root / PROJECT

    @property
    def work(self) -> Path:
        return self.folder / ".icfqueue" / VISIT.id

    def job(self, links: Links = Links.NONE, **options: bool) -> Job:
        return Job(
            VISIT,
            Options(URL, **options),
            Store(self.root, links),
            Settings(store_dir=self.root, keep_free=0),
        )

    def do(self, *names: str, links: Links = Links.NONE, **options: bool) -> dict[str, str]:
        """Do steps as the worker; return step to what it said in the end."""

        def work() -> dict[str, str]:
            said = {}
            for name in names or steps.NAMES:
                try:
                    said[name] = registry.run(name, self.job(links, **options)).note
                except StepError as error:
                    said[name] = f"{type(error).__name__}: {error.message}"
            return said

        found: dict[str, str] = run_as(WORKER, work)
        return found

    def look(self) -> list[str]:
        """Have the worker look at everything as commands do; return what was said."""

        def work() -> list[str]:
            job, said = self.job(), []
            looks: list[Callable[[], object]] = [
                lambda: job.store.visits(PROJECT),
                lambda: job.store.unusable(PROJECT),
                lambda: present(job.store, PROJECT),
                lambda: study.listed(job.store, PROJECT, URL),
                lambda: audit.differences(job, None, set(), None),
                lambda: audit.orphans(job.store, PROJECT, set(), []),
                lambda: study.rebuild(job.store, PROJECT, URL, job.settings),
                lambda: renewal.renew(job.store, PROJECT, None, URL),
                lambda: renewal.exists(job.store, PROJECT),
                lambda: job.store.forget_work(VISIT),
            ]
            for look in looks:
                try:
                    said.append(repr(look()))
                except IcfqueueError as error:
                    said.append(f"{type(error).__name__}: {error.message}")
            return said

        found: list[str] = run_as(WORKER, work)
        return found


@pytest.fixture(scope="session")
def _tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one")
    tarball = build_visits(root, 1)[0].storepath
    return root / tarball


@pytest.fixture
def scene(_tarball: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with shared_folder() as base:
        root, home = base / "store", base / "home"
        for folder in (root, root / PROJECT):
            folder.mkdir()
            give(folder, mode=0o2775)
        for folder in (home, home / ".ssh", home / "metadata", home / "tmp-0"):
            folder.mkdir()
        for name in (".ssh/id", "secret", "metadata/super.json", "tmp-0/kept", "users"):
            (home / name).write_bytes(MARKER)
            give(home / name, WORKER, 0o600)
        (home / VISIT.tarball).write_bytes(_tarball.read_bytes() + MARKER)
        give(home / VISIT.tarball, WORKER, 0o600)
        for folder in (home / "tmp-0", home / "metadata", home / ".ssh", home):
            give(folder, WORKER, 0o700)
        monkeypatch.setenv("HOME", str(home))
        target = root / VISIT.storepath
        target.write_bytes(_tarball.read_bytes())
        give(target, INTRUDER, 0o664)
        yield Scene(root, home)


def state(home: Path) -> dict[str, tuple[object, ...]]:
    """Return all that can be seen of a folder: names, owners, modes, times, bytes.

    The time of the last reading is among them; it was set back before, so that a reading
    shows where the file system keeps such times.
    """
    found = {}
    for path in sorted((home, *home.rglob("*"))):
        now = path.lstat()
        os.utime(path, ns=(0, now.st_mtime_ns))
        seen = (now.st_ino, now.st_uid, now.st_gid, now.st_mode, now.st_size)
        found[str(path)] = (*seen, now.st_mtime_ns)
    for path in found:
        os.utime(path, ns=(0, int(str(found[path][-1]))))
    return found


def was_read(home: Path) -> list[str]:
    """Return the files of a folder that were read since :func:`state`."""
    return [
        str(path) for path in home.rglob("*") if path.is_file() and path.stat().st_atime_ns
    ]


def instead(path: Path, target: Path) -> None:
    """Put a link to `target` where `path` is or would be, as the intruder."""

    def work() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.rename(path.with_name(f"{path.name}.was"))
        path.symlink_to(target)

    run_as(INTRUDER, work)


PLANTS: dict[str, tuple[str, str, bool]] = {
    # What is planted: where, to what in the home, and whether the visit was done before.
    "work folder": (f"{PROJECT}/.icfqueue/{VISIT.id}", "", False),
    "folder of work folders": (f"{PROJECT}/.icfqueue", "", False),
    "project": (PROJECT, "", False),
    "tarball": (VISIT.storepath, VISIT.tarball, False),
    "catalog": (f"{PROJECT}/catalog", "", True),
    "new catalog": (f"{PROJECT}/catalog", "", False),
    "folder in the catalog": (f"{PROJECT}/catalog/metadata", "metadata", True),
    "page of the catalog": (f"{PROJECT}/catalog/metadata/super.json", "secret", True),
    "template of the catalog": (f"{PROJECT}/catalog/index.html", "secret", True),
    "metadata of the tarball": (f"{PROJECT}/{VISIT.metadata_tarball}", "secret", True),
    "metadata of the DICOMs": (f"{PROJECT}/{VISIT.metadata_dicoms}", "secret", True),
    "refs": (f"{PROJECT}/{VISIT.refs}", "secret", True),
    "repository": (f"{PROJECT}/{VISIT.repo_export}", "secret", True),
    "refs of the superdataset": (f"{PROJECT}/XDLRA--refs", "secret", True),
    "repository of the superdataset": (f"{PROJECT}/XDLRA--repo-export", "secret", True),
    "scratch folder": (f"{PROJECT}/.icfqueue/{VISIT.id}/tmp-0", "tmp-0", False),
    "staged file": (f"{PROJECT}/.icfqueue/{VISIT.id}/ready-0", "secret", False),
    "list between two steps": (
        f"{PROJECT}/.icfqueue/{VISIT.id}/dicoms.json",
        "secret",
        False,
    ),
    "note between two steps": (
        f"{PROJECT}/.icfqueue/{VISIT.id}/index.json",
        "secret",
        False,
    ),
    "work folder of the catalog": (f"{PROJECT}/.icfqueue/.catalog", "", False),
    "catalog set aside": (f"{PROJECT}/.icfqueue/.catalog/replaced", "", False),
}


FEW = (
    *("work folder", "project", "tarball", "catalog", "refs", "scratch folder"),
    "repository of the superdataset",
)
CHOSEN = PLANTS if LONG else FEW


@pytest.mark.parametrize("plant", CHOSEN)
def test_a_planted_link_leads_no_step_and_no_command_elsewhere(
    scene: Scene, plant: str
) -> None:
    where, to, done_before = PLANTS[plant]
    if done_before:
        assert not any(scene.do().values())
    instead(scene.root / where, scene.home / to if to else scene.home)
    before = state(scene.home)

    said = scene.do()
    said |= {f"{name} again": what for name, what in scene.do(force=True).items()}
    said |= {
        f"{name} to remove": what
        for name, what in scene.do("cleanup", remove_metadata=True).items()
    }
    said |= {f"look {number}": what for number, what in enumerate(scene.look())}

    assert not was_read(scene.home), said
    assert state(scene.home) == before, said
    for path in scene.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert MARKER not in path.read_bytes(), (path, said)
    wrong = {name: what for name, what in said.items() if "Permission" in str(what)}
    assert not wrong
    if plant in {"scratch folder", "staged file", "list between two steps"}:
        # Removed or replaced as what a dead worker left: the link, not where it leads.
        assert not any(scene.do().values())
    else:
        words = "is a symbolic link to"
        assert any(words in str(what) for what in said.values()), said


def test_a_part_of_a_download_that_is_a_link_is_not_taken_over(scene: Scene) -> None:
    """Neither the bytes nor the note beside them, nor what a note is written to."""
    from support.faulty_store import FaultyStore

    web = scene.root.parent / "web"
    (web / PROJECT).mkdir(parents=True)
    (scene.folder / VISIT.tarball).rename(web / VISIT.storepath)
    note = scene.home / "note"
    size = (web / VISIT.storepath).stat().st_size
    with FaultyStore(web, auth=False) as store:
        told = {"path": VISIT.storepath, "size": size, "etag": None, "modified": None}
        note.write_text(json.dumps({"file": told, "have": 10, "closed": True}))
        give(note, WORKER, 0o600)
        instead(scene.work / "part-0", scene.home / "secret")
        instead(scene.work / "part-0.json", note)
        instead(scene.work / "part-1.new", scene.home / "secret")
        before = state(scene.home)

        def fetch() -> bool:
            job = scene.job()
            from dataclasses import replace

            job = replace(job, options=replace(job.options, store_url=store.url))
            return registry.run("fetch", job).worked

        assert run_as(WORKER, fetch)
    assert state(scene.home) == before
    assert (scene.folder / VISIT.tarball).stat().st_size == size
    assert not any(path.is_symlink() for path in scene.root.rglob("*"))


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(scene: Scene) -> None:
    for name in (VISIT.metadata_tarball, VISIT.refs):
        run_as(INTRUDER, lambda name=name: os.mkfifo(scene.folder / name))
    said = scene.do()
    assert "is neither a file nor a folder" in said["index_tar"], said


def test_a_work_folder_that_everybody_or_strangers_may_change_is_not_used(
    scene: Scene,
) -> None:
    def plant(mode: int) -> None:
        scene.work.mkdir(parents=True, exist_ok=True)
        scene.work.chmod(mode)

    run_as(INTRUDER, lambda: plant(0o777))
    assert "can be written by everybody" in scene.do("index_tar")["index_tar"]
    run_as(INTRUDER, lambda: plant(0o2775))
    assert not any(scene.do().values())
    if ROOT:
        scene.work.parent.mkdir(exist_ok=True)
        give(scene.work.parent, mode=0o2775)
        plant(0o755)
        os.chown(scene.work, 61009, 61009)
        assert "belongs to user 61009" in scene.do("index_tar", force=True)["index_tar"]


def test_a_folder_that_is_exchanged_for_a_link_after_the_look_is_not_followed(
    scene: Scene,
) -> None:
    """The race: while a worker is at work in its folder, its path leads elsewhere."""
    before = state(scene.home)

    def work() -> list[str]:
        job = scene.job()
        with job.store.scratch(VISIT) as scratch:
            hidden = scene.folder / ".icfqueue"
            hidden.rename(scene.folder / "moved")
            hidden.symlink_to(scene.home)
            (scratch / "refs").write_text("x")
            with suppress(UnsafePath):
                job.store.publish(scratch / "refs", job.store.path(VISIT, "y"), UNGUARDED)
            (scratch / "more").mkdir()
        return sorted(str(p.relative_to(scene.folder)) for p in scene.folder.rglob("*"))

    left = run_as(WORKER, work)
    assert state(scene.home) == before
    assert "y" in left
    assert not [name for name in left if "tmp-" in name], left


def test_nobody_else_of_the_group_can_put_a_hook_where_git_runs(scene: Scene) -> None:
    """A scratch folder is its worker's alone; what is published is the group's."""

    def work() -> tuple[int, int]:
        job = scene.job()
        with job.store.scratch(VISIT) as scratch:
            (scratch / "refs").write_text("x")
            mode = scratch.stat().st_mode
            job.store.publish(scratch / "refs", job.store.path(VISIT, "y"), UNGUARDED)
        return mode & 0o777, job.store.path(VISIT, "y").stat().st_mode & 0o777

    assert run_as(WORKER, work) == (0o700, 0o664)
    assert (scene.folder / "y").stat().st_gid == GROUP


def test_what_another_user_was_about_to_publish_is_gone_when_the_next_one_begins(
    scene: Scene,
) -> None:
    """The fence: what is staged can be removed by all of the group; not what is built."""

    def sleep() -> None:
        job = scene.job()
        folder = scene.work
        Store(scene.root).make_dir(folder)
        (folder / "tmp-a").mkdir(mode=0o700)
        (folder / "tmp-a/repo").mkdir()
        (folder / "ready-a").write_text("old")
        del job

    run_as(WORKER, sleep)

    def begin() -> list[str]:
        with scene.job().store.scratch(VISIT):
            return sorted(path.name for path in scene.work.iterdir())

    left = run_as(OTHER_WORKER, begin)
    assert "ready-a" not in left
    # It is finished all the same, and says nothing of a folder that it may not enter.
    assert not any(run_as(OTHER_WORKER, lambda: _notes(scene)))


def _notes(scene: Scene) -> list[str]:
    return [registry.run(name, scene.job()).note for name in steps.NAMES]


@pytest.mark.parametrize(
    ("links", "where", "followed"),
    [
        (Links.NONE, "project", False),
        (Links.PROJECTS, "project", True),
        (Links.ALL, "project", True),
        (Links.NONE, "tarball", False),
        (Links.PROJECTS, "tarball", False),
        (Links.ALL, "tarball", True),
    ],
)
def test_a_site_that_wants_links_says_so(
    scene: Scene, links: Links, where: str, followed: bool
) -> None:
    elsewhere = scene.root.parent / "archive"
    elsewhere.mkdir()
    give(elsewhere, mode=0o2775)
    path = scene.folder if where == "project" else scene.root / VISIT.storepath
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)
    said = scene.do(links=links)
    if followed:
        assert not any(said.values()), said
        assert run_as(WORKER, lambda: Store(scene.root, links).visits(PROJECT)) == [VISIT]
        assert (scene.folder / VISIT.refs).is_file()
    else:
        assert said["fetch"].startswith("UnsafePath: "), said


PLACES = {"broker": ".icfqueue/broker", "log": ".icfqueue/log", "all of it": ".icfqueue"}


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_the_place_of_broker_or_log_ends_the_command_with_a_word(
    tmp_path: Path, place: str
) -> None:
    store, home = tmp_path / "store", tmp_path / "home"
    build_visits(store, 1)
    for folder in (home, home / "log", home / "broker"):
        folder.mkdir()
        for name in ("users", "server", "log.txt", "worker-old-1.log"):
            (folder / name).write_bytes(MARKER)
            os.utime(folder / name, (0, 0))
    path = store / PLACES[place]
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(home)
    before = state(home)
    done = Icfqueue(store)("run", PROJECT, "--jobs", "1")
    assert done.returncode not in {0, 2}, done
    assert f"{path} is a symbolic link to {home}" in done.stderr.replace("\n", ""), done
    assert "Traceback" not in done.stderr
    assert state(home) == before
    assert not was_read(home)


@pytest.mark.parametrize("name", ["users", "server", "log", "starting"])
def test_a_link_in_the_brokers_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    store, secret = tmp_path / "store", tmp_path / "secret"
    build_visits(store, 1)
    secret.write_bytes(MARKER)
    folder = store / ".icfqueue/broker"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(secret)
    code = (
        "import sys; from icfqueue.broker.embedded import EmbeddedServer\n"
        "with EmbeddedServer(sys.argv[1]): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is a symbolic link to" in done.stderr
    assert secret.read_bytes() == MARKER


@pytest.mark.skipif(not ROOT, reason="only root can make a folder of somebody else's")
def test_the_brokers_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    store = tmp_path / "store"
    build_visits(store, 1)
    folder = store / ".icfqueue/broker"
    folder.mkdir(parents=True)
    os.chown(folder, INTRUDER.uid, GROUP)
    done = Icfqueue(store)("enqueue", PROJECT)
    assert done.returncode == 1
    assert f"belongs to user {INTRUDER.uid}" in done.stderr
