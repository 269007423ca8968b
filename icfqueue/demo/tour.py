"""``icfqueue demo``: the whole way, on a small project with a store of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from icfqueue.core.errors import IcfqueueError, UsageError
from icfqueue.core.visit import Visit
from icfqueue.dataset import clone, programs
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import build_project
from icfqueue.outputs.deposit import clone_url

PROJECT = "study_1"
MARK = ".icfqueue-demo"
"""Lies in every folder that the demonstration made; only such a one is made anew."""

CREDENTIAL = "icfqueue_demo"


class Stage(Protocol):
    """Where the demonstration is shown."""

    def headline(self, words: str) -> None:
        """Show what comes next."""

    def command(self, words: str) -> None:
        """Show a command that is run."""

    def line(self, words: str, *, good: bool = False) -> None:
        """Show a line; `good` news if it proves something."""


def tour(folder: Path, visits: int, jobs: int, stage: Stage) -> int:
    """Build, serve, process, clone, get and compare; return the exit code.

    Raises
    ------
    UsageError
        `folder` is there and is no demonstration's.
    IcfqueueError
        DataLad failed, or an image is not what the dataset promises.
    """
    began = time.monotonic()
    folder = folder.absolute()
    _make_room(folder)
    web, store = folder / "web", folder / "store"
    stage.headline(
        f"1. A project of {visits} visits, from the DICOM files that pydicom ships"
    )
    made = build_project(web, PROJECT, visits)
    store.mkdir()
    for visit in made:
        stage.line(f"{web / PROJECT / visit.tarball}")
    with DemoStore(web) as server, _surroundings(server) as environment:
        stage.headline(
            f"2. Served at {server.url}, with a password, as an institute's store is"
        )
        options = ["--store-dir", str(store), "--store-url", server.url]
        stage.headline("3. Downloaded, indexed, made into datasets, put into a catalog")
        command = ["run", PROJECT, "--remote", "--jobs", str(jobs), *options]
        code = _icfqueue(command, environment, stage)
        _icfqueue(["status", PROJECT, "--store-dir", str(store)], environment, stage)
        if code:
            return code
        _publish(store, web)
        stage.headline("4. What a scientist does: clone a visit, get one image, look at it")
        _look_as_a_scientist(made[0], server.url, folder / "clone", environment, stage)
    _farewell(folder, time.monotonic() - began, stage)
    return 0


def _make_room(folder: Path) -> None:
    """Make `folder`, anew if an earlier demonstration made it."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError(
                f"{folder} is there and was not made by the demonstration",
                hint="choose another one with --folder",
            )
        clone.remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


@contextmanager
def _surroundings(server: DemoStore) -> Iterator[dict[str, str]]:
    """Yield an environment with the credential and an identity for git.

    The credential goes through DataLad's own configuration; nothing is written into the
    user's.
    """
    outside = clone.without_repository(os.environ)
    environment = {
        **{name: value for name, value in outside.items() if name[:9] != "ICFQUEUE_"},
        "PATH": programs.search_path(),
        "DATALAD_UI_PROGRESSBAR": "none",
        "DATALAD_CONFIG_OVERRIDES_JSON": json.dumps(
            {
                f"datalad.credential.{CREDENTIAL}.type": "user_password",
                f"datalad.credential.{CREDENTIAL}.user": server.user,
                f"datalad.credential.{CREDENTIAL}.secret": server.password,
                f"datalad.credential.{CREDENTIAL}.realm": f"{server.url}/{server.realm}",
            }
        ),
    }
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        environment.setdefault(f"{name}_NAME", "icfqueue demo")
        environment.setdefault(f"{name}_EMAIL", "demo@example.org")
    yield environment


def _icfqueue(arguments: list[str], environment: dict[str, str], stage: Stage) -> int:
    stage.command(f"icfqueue {' '.join(arguments)}")
    command = [sys.executable, "-m", "icfqueue", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _publish(store: Path, web: Path) -> None:
    """Lay the outputs beside the tarballs, as an institute's store has them."""
    for path in (store / PROJECT).iterdir():
        if path.name.startswith(".") or path.name.endswith("_dicom.tar"):
            continue
        if path.is_dir():
            shutil.copytree(path, web / PROJECT / path.name, dirs_exist_ok=True)
        else:
            shutil.copy2(path, web / PROJECT / path.name)


def _look_as_a_scientist(
    visit: Visit, url: str, target: Path, environment: dict[str, str], stage: Stage
) -> None:
    """Clone, get and compare outside any repository; leave the clone at `target`.

    The folder of the demonstration may lie in a repository of the user's, which the
    making of a clone would change:
    :func:`icfqueue.dataset.clone.folder_of_its_own`.
    """
    apart = clone.folder_of_its_own("icfqueue-demo-")
    try:
        _clone_and_get(visit, url, apart / "clone", environment, stage)
        shutil.copytree(apart / "clone", target, symlinks=True)
    finally:
        clone.remove(apart)


def _clone_and_get(
    visit: Visit, url: str, target: Path, environment: dict[str, str], stage: Stage
) -> None:
    command = ["clone", clone_url(url, visit), str(target)]
    _datalad(command, target.parent, environment, stage)
    found = sorted(target.rglob("*.dcm"))
    image = found[len(found) // 2]
    name = str(image.relative_to(target))
    promised = image.readlink().name.partition("--")[2].partition(".")[0]
    stage.line(f"{len(found)} images, none of them here yet")
    _datalad(["get", name], target, environment, stage)
    got = hashlib.md5(image.read_bytes()).hexdigest()
    stage.line(f"MD5 promised {promised}")
    stage.line(f"MD5 got      {got}")
    if got != promised:
        raise IcfqueueError(f"{name} is not what the dataset promises")
    stage.line("the same", good=True)


def _datalad(
    arguments: list[str], folder: Path, environment: dict[str, str], stage: Stage
) -> None:
    shown = " ".join(f"'{word}'" if "&" in word else word for word in arguments)
    stage.command(f"datalad {shown}")
    command = [programs.find_program("datalad"), "-l", "error", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        last = done.stdout.decode(errors="replace").strip()[-500:]
        raise IcfqueueError(
            f"datalad {arguments[0]} failed: {last}", hint="icfqueue doctor"
        )


def _farewell(folder: Path, seconds: float, stage: Stage) -> None:
    stage.headline(f"Done in {seconds:.0f} s. What is there now")
    store = folder / "store"
    stage.line(f"the store    {store / PROJECT}")
    stage.line(f"the catalog  {store / PROJECT / 'catalog'}")
    stage.line(f"the clone    {folder / 'clone'}")
    stage.headline("What to try next")
    python = shlex.quote(sys.executable)
    script = Path(sys.executable).with_name("icfqueue")
    # Nothing here is in the PATH of somebody who only typed `make demo`.
    program = shlex.quote(str(script)) if script.exists() else f"{python} -m icfqueue"
    where = shlex.quote(str(store))
    stage.line(f"{program} status {PROJECT} visit_01 --store-dir {where}")
    stage.line(f"{program} serve --store-dir {where}   # and open http://127.0.0.1:8000")
    stage.line(f"{program} run --help   # your own project")
