"""A kill at any point where something appears or goes leaves nothing half done."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import superdatasets
from support.chaos_project import LONG, PROJECT, snapshot
from support.event_log import events, trespasses
from support.faulty_store import FaultyStore
from support.forked import Forked
from support.killable_cluster import KillableCluster

from icfqueue.core.processes import faultpoint
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import members_of_visit, shipped, write_tar
from icfqueue.ledger.record import State
from icfqueue.outputs.deposit import EXPORT, REFS

VISIT = Visit(PROJECT, "visit_00")


class Runner(Forked):
    """Asks :mod:`one_visit` to do the steps, with a fault or without."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__("one_visit.py")
        (folder / PROJECT).mkdir()
        # Done by it, so that every fork finds everything imported.
        self.send(**self._request(folder, {"store_url": url}, {}))

    def run(self, root: Path, options: dict[str, Any], **env: str) -> int:
        """Return the exit status: 0, or the negative number of a signal."""
        return self.ask(**self._request(root, options, env))

    def _request(
        self, root: Path, options: dict[str, Any], env: dict[str, str]
    ) -> dict[str, Any]:
        return {
            "root": str(root),
            "project": PROJECT,
            "visit": VISIT.id,
            "options": options,
            "env": env,
        }


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, web_url: str) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("first"), web_url)
    yield runner
    runner.close()


@dataclass(frozen=True)
class Scene:
    """What lies in the store before the steps, and what they are asked for."""

    options: dict[str, Any]
    prepare: Callable[[Path], None] = lambda _: None
    short: str = "before|after|removing|removed"

    def matters(self, point: str) -> bool:
        """Tell whether the short form has this point, too: the others are elsewhere."""
        return re.match(self.short, point) is not None


def empty(_: Path) -> None:
    """Nothing is there: the tarball is downloaded."""


def replaced(folder: Path) -> None:
    """Put another tarball in the place of the one that everything was made from."""
    files = shipped("dicomdirtests/98892001")
    write_tar(folder / VISIT.tarball, members_of_visit(VISIT, files))


def damaged_catalog(folder: Path) -> None:
    """Take a file away from the catalog that is there."""
    (folder / "catalog" / "index.html").unlink()


SCENES = {
    "download": Scene({}),
    "force": Scene({"force": True}, replaced, r"(before|after|remov\w+) \w+(_meta|-)"),
    "remove": Scene({"remove_tarball": True, "remove_metadata": True}, short="remov"),
    "stream": Scene({"stream": True}, short=r"(before|after) (dicoms|index|\w+_meta)"),
    "catalog": Scene({}, damaged_catalog),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_kill_at_every_point_leaves_the_store_whole_and_is_recovered(
    name: str, runner: Runner, web: FaultyStore, visits: list[Visit], tmp_path: Path
) -> None:
    """Outputs are there as a whole, old or new, or not; the next run gives the same."""
    assert visits[0] == VISIT
    scene = SCENES[name]
    options = {"store_url": web.url, **scene.options}
    start = tmp_path / "start"
    (start / PROJECT).mkdir(parents=True)
    if name not in {"download", "remove", "stream"}:
        assert runner.run(start, {"store_url": web.url}) == 0
    old = snapshot(start / PROJECT)
    scene.prepare(start / PROJECT)

    log = tmp_path / "log"
    clean = tmp_path / "clean"
    shutil.copytree(start, clean)
    assert runner.run(clean, options, **{faultpoint.LOG_VARIABLE: str(log)}) == 0
    new = snapshot(clean / PROJECT)
    points = list(dict.fromkeys(" ".join(event.words) for event in events(log)))
    assert len(points) >= len(EXPECTED[name]), points
    for ending in EXPECTED[name]:
        assert any(point.endswith(ending) for point in points), (ending, points)

    for point in points if LONG else filter(scene.matters, points):
        root = tmp_path / "work"
        shutil.copytree(start, root)
        fault = {faultpoint.VARIABLE: point}
        assert runner.run(root, options, **fault) == -signal.SIGKILL, point
        check_nothing_is_half_done(root / PROJECT, old, new, point)
        assert runner.run(root, options) == 0, point
        assert snapshot(root / PROJECT) == new, point
        shutil.rmtree(root)


EXPECTED = {
    "download": [
        f"{moment} {name}"
        for moment in ("ready", "before", "after")
        for name in (
            VISIT.tarball,
            "dicoms.json",
            "index.json",
            VISIT.metadata_dicoms,
            VISIT.metadata_tarball,
            VISIT.repo_export,
            VISIT.refs,
            EXPORT,
            REFS,
        )
    ]
    + ["before catalog", "after catalog", "removing visit_00", "removed visit_00"],
    "force": [
        f"{moment} {name}"
        for moment in ("removing", "removed", "before", "after")
        for name in (VISIT.metadata_tarball, VISIT.refs)
    ]
    + [f"after {VISIT.metadata_dicoms}", f"after {VISIT.repo_export}"],
    "remove": [
        f"{moment} {name}"
        for moment in ("removing", "removed")
        for name in (VISIT.tarball, VISIT.metadata_tarball, VISIT.metadata_dicoms)
    ],
    "stream": [
        f"{moment} {name}"
        for moment in ("ready", "before", "after")
        for name in ("dicoms.json", "offsets.json", "index.json", VISIT.metadata_tarball)
    ],
    "catalog": ["before catalog", "after catalog"],
}
"""Points that must be among those that a run reaches."""


def check_nothing_is_half_done(
    folder: Path, old: dict[str, str], new: dict[str, str], point: str
) -> None:
    """Fail if what is published is neither the old nor the new, or does not fit."""
    found = snapshot(folder)

    def version(*names: str) -> str | None:
        """Return which version the first name stands for, if it is there."""
        if names[0] not in found:
            return None
        for which, files in (("new", new), ("old", old)):
            # What a run removes in the end is in neither; its content is checked below.
            if all(files.get(name, found.get(name)) == found.get(name) for name in names):
                return which
        raise AssertionError(f"{point}: {names} are half done: {found}")

    metadata = version(VISIT.metadata_tarball, VISIT.metadata_dicoms)
    deposit = version(VISIT.refs, VISIT.repo_export)
    if metadata and deposit and new[VISIT.refs] != old.get(VISIT.refs):
        assert metadata == deposit, point
    if metadata:
        told = json.loads((folder / VISIT.metadata_tarball).read_bytes())
        assert json.loads((folder / VISIT.metadata_dicoms).read_bytes())
        if (folder / VISIT.tarball).exists() and metadata == "new":
            content = (folder / VISIT.tarball).read_bytes()
            assert told["md5"] == hashlib.md5(content).hexdigest(), point
    if deposit:
        with zipfile.ZipFile(folder / VISIT.repo_export) as export:
            assert export.testzip() is None
            packed = export.read("packed-refs").decode().splitlines()[1:]
        listed = (folder / VISIT.refs).read_text().splitlines()
        assert listed == [*packed, "@refs/heads/master HEAD"], point
    check_catalog(folder / "catalog", point)
    if EXPORT in found:
        # Git checks all of it. Its refs file is its own, or that of a commit before.
        superdataset = superdatasets.look(folder)
        assert superdataset.refs is None or superdataset.refs in superdataset.log, point


def check_catalog(catalog: Path, point: str) -> None:
    """Fail unless there is none, or one whose every listed visit has its page."""
    if not catalog.exists() or not (catalog / "index.html").exists():
        # The scene began with such a damaged one.
        return
    home = json.loads((catalog / "metadata" / "super.json").read_bytes())
    pages = {
        json.loads(path.read_bytes())["dataset_id"]: json.loads(path.read_bytes())
        for path in (catalog / "metadata").rglob("*.json")
        if path.name != "super.json"
    }
    assert home["dataset_id"] in pages, point
    for listed in pages[home["dataset_id"]].get("subdatasets", []):
        assert listed["dataset_id"] in pages, point


def test_workers_that_die_while_they_publish_are_followed_by_others(
    cluster: KillableCluster, expected: dict[str, str], tmp_path: Path
) -> None:
    """The same through the queue: 21 deaths at points, and the project is as expected."""
    names = [name.removeprefix(VISIT.id) for name in EXPECTED_OF_A_WORKER]
    points = [f"{moment} {name}" for name in names for moment in ("before", "after")]
    points += ["ended update_catalog", "ended export_repo", "began write_json"]
    markers = [tmp_path / f"marker-{number}" for number in range(len(points))]
    faults = ";".join(
        f"{point}@{marker}" for point, marker in zip(points, markers, strict=True)
    )
    cluster.env["ICFQUEUE_LEASE"] = "1.5"
    cluster.start_worker(3, **{faultpoint.VARIABLE: faults})
    cluster.enqueue("--remote")
    cluster.wait_drained(90)
    assert [point for point, m in zip(points, markers, strict=True) if not m.exists()] == []
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)
    assert not list(trespasses(cluster.events))


EXPECTED_OF_A_WORKER = (
    VISIT.tarball,
    "index.json",
    VISIT.metadata_dicoms,
    VISIT.metadata_tarball,
    VISIT.repo_export,
    VISIT.refs,
    "catalog",
    f" {EXPORT}",
    f" {REFS}",
)


def test_a_visit_that_takes_down_its_workers_fails_and_says_so(
    cluster: KillableCluster, visits: list[Visit]
) -> None:
    """After three deaths it is left alone; the others are done."""
    victim, others = visits[1], visits[2:5]
    cluster.env |= {"ICFQUEUE_MAX_CRASHES": "3", "ICFQUEUE_LEASE": "1"}
    cluster.start_worker(2, **{faultpoint.VARIABLE: f"began {victim} index_tar"})
    cluster.enqueue(victim.id, *(visit.id for visit in others))
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: len(others), State.FAILED: 1}
    found = cluster.record(victim.id)
    assert found.error
    assert found.error["type"] == "Crashed"
    assert "3 times" in found.error["message"]
    assert found.steps[1].crashes == 3
