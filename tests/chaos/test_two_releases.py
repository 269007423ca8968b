"""Workers of this release and of the one before share a broker and a store.

The release before is taken from the history of this repository.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support import datasets
from support.chaos_project import LONG, PROJECT
from support.event_log import events, overlaps, trespasses
from support.killable_cluster import KillableCluster
from support.killable_worker import KillableWorker
from support.needs import allowed

from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import LAYOUT, key
from icfqueue.ledger.record import State
from icfqueue.outputs import deposit
from icfqueue.store.directory import Store

BEFORE = "8e6ea8d29106495e363620ad85b31b07f1d45be7"
"""The last commit of the release before; it knew no layouts."""

KILLS = 60 if LONG else 10
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the release before."""
    folder = tmp_path_factory.mktemp("before")
    git = ["git", "-C", str(ROOT)]
    known = subprocess.run([*git, "cat-file", "-e", BEFORE], check=False).returncode == 0
    if not known:
        # A clone without its history.
        fetch = [*git, "fetch", "--depth=1", "origin", BEFORE]
        done = subprocess.run(fetch, capture_output=True, check=False)
        allowed(done.returncode == 0, f"look at {BEFORE[:8]}: its history is not here")
    packed = folder / "release.zip"
    subprocess.run(
        [*git, "archive", "-o", packed, BEFORE, "icfqueue", "workers"], check=True
    )
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return folder


def old(before: Path) -> dict[str, str]:
    """Return an environment in which Python finds the release before."""
    return {"PYTHONPATH": str(before), "PYTHONSAFEPATH": "1"}


def test_the_release_before_is_what_it_says(before: Path) -> None:
    """Else the tests below would compare this release with itself."""
    words = [sys.executable, "-c", "import icfqueue; print(icfqueue.__file__)"]
    done = subprocess.run(
        words,
        env={**os.environ, **old(before)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(before)
    assert not (before / "icfqueue" / "core").exists()


@dataclass
class Mixed:
    """Workers of both releases, and which processes were whose."""

    cluster: KillableCluster
    before: Path
    old: set[int] = field(default_factory=set)
    workers: list[tuple[KillableWorker, bool]] = field(default_factory=list)

    def start(self, *, is_old: bool) -> None:
        env = old(self.before) if is_old else {}
        self.workers.append((self.cluster.start_worker(**env), is_old))

    def kill(self, rng: random.Random) -> None:
        chosen = rng.choice(self.workers)
        self.workers.remove(chosen)
        self.note()
        self.cluster.kill(chosen[0])

    def note(self) -> None:
        self.old |= {
            pid for worker, is_old in self.workers if is_old for pid in worker.pids()
        }

    def end_old(self) -> None:
        """End the workers of the release before, as at the end of an update."""
        self.note()
        for worker, is_old in self.workers:
            if is_old:
                self.cluster.kill(worker)

    def begun(self) -> tuple[int, int]:
        """Return how many steps processes of the release before began, and others."""
        pids = [e.pid for e in events(self.cluster.events) if e.words[0] == "began"]
        theirs = sum(pid in self.old for pid in pids)
        return theirs, len(pids) - theirs


def check_equals_but_for_formats(
    cluster: KillableCluster, expected: dict[str, str]
) -> None:
    """Fail unless all is as this release makes it, or a deposit is the other's.

    That one's deposits have another format, and those that were made anew by this one
    have a commit more. An ``enqueue`` of this release makes all of this format.
    """
    differing = cluster.differing(expected)
    # That of the whole project has the commits of all the others in it.
    assert not [path for path in differing if "XDLRA--" not in path]
    store = Store(cluster.root)
    names = (path.partition("_XDLRA--")[0] for path in differing if "_XDLRA--" in path)
    visits = {Visit(PROJECT, name) for name in names}
    for visit in visits:
        found = deposit.read(store, visit)
        assert found is not None
        assert found.source is not None
        repo = cluster.root.parent / "unpacked" / visit.id
        with zipfile.ZipFile(store.path(visit, visit.repo_export)) as export:
            export.extractall(repo)
        commits = datasets.git(repo, "rev-list", deposit.HEAD).split()
        assert (found.source.format == 1) is (len(commits) == 1), visit
    cluster.command("enqueue", PROJECT, *(visit.id for visit in visits))
    cluster.start_worker(2)
    cluster.wait_drained(90)
    made = [deposit.read(store, visit) for visit in visits]
    assert all(one and one.source and one.source.format == deposit.FORMAT for one in made)


@pytest.mark.parametrize("producer", ["this", "before"])
def test_forty_visits_are_done_by_both_whoever_dies(
    cluster: KillableCluster,
    expected: dict[str, str],
    before: Path,
    rng: random.Random,
    producer: str,
) -> None:
    """Each worker that is killed is followed by one of either release."""
    cluster.env["ICFQUEUE_LEASE"] = "3"
    mixed = Mixed(cluster, before)
    for is_old in (False, True, True):
        mixed.start(is_old=is_old)
    cluster.command(
        *("enqueue", PROJECT, "--remote"), **(old(before) if producer == "before" else {})
    )
    for number in range(KILLS):
        cluster.wait_for_some_step(rng)
        mixed.kill(rng)
        mixed.start(is_old=number % 2 == 0)
    cluster.wait_drained(120)
    mixed.end_old()
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    assert not list(trespasses(cluster.events))
    assert not list(overlaps(cluster.events))
    cluster.check_no_traceback()
    theirs, ours = mixed.begun()
    assert min(theirs, ours) > 5
    # The release before knows no superdataset: the last visits may be its.
    cluster.command("catalog", PROJECT)
    check_equals_but_for_formats(cluster, expected)
    cluster.print_report(f"{KILLS} workers killed; {theirs} steps by the release before")


def test_what_the_release_before_left_behind_is_gone_on_with(
    cluster: KillableCluster,
    expected_few: dict[str, str],
    before: Path,
    few: list[str],
) -> None:
    """It enqueued and worked, and was ended for good; its messages are lost, too."""
    cluster.command("enqueue", PROJECT, *few, **old(before))
    last = cluster.start_worker(**old(before))
    cluster.wait(lambda: cluster.begun() > 8, 60, "some steps are begun")
    cluster.kill(last)
    client = cluster.server.broker.connect()
    for name in client.scan_iter("*"):
        if not name.startswith("icfqueue:"):
            client.delete(name)
    cluster.start_worker(2)
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: len(few)}, cluster.explain()
    cluster.command("catalog", PROJECT)
    check_equals_but_for_formats(cluster, expected_few)


def test_commands_of_the_release_before_read_what_this_one_wrote(
    cluster: KillableCluster, before: Path, few: list[str]
) -> None:
    cluster.command("enqueue", PROJECT, *few)
    worker = cluster.start_worker(2)
    cluster.wait_drained(90)
    # Or it would know the tarball again before it is looked.
    cluster.kill(worker)
    # As if a step had told what the tarball looked like.
    for name in few:
        assert cluster.ledger.update(
            Visit(PROJECT, name), lambda r: replace(r, fingerprint=(1, 2, 3, 4))
        )
    ours = json.loads(cluster.command("status", PROJECT, "--format", "json"))
    for visit in ours["visits"]:
        # What that release does not know.
        assert visit.pop("identifiers") == {"paths": 0, "tags": 0, "kinds": []}
        assert visit.pop("identifiers_accepted") is None
    theirs = cluster.command("status", PROJECT, "--format", "json", **old(before))
    assert json.loads(theirs) == ours
    said = cluster.command("enqueue", PROJECT, "--dry-run", *few, **old(before))
    assert f"{len(few)} up to date" in said
    # What that one writes takes the place of what this one knew.
    cluster.command("enqueue", PROJECT, "--force", few[0], **old(before))
    assert cluster.record(few[0]).fingerprint is None


def test_a_newer_layout_ends_a_worker_with_a_word(
    cluster: KillableCluster, few: list[str]
) -> None:
    """From this release on: it takes nothing, and says why."""
    worker = cluster.start_worker()
    cluster.wait(cluster.ledger.workers, 60, "the worker is up")
    client = cluster.server.broker.connect()
    client.set(key("layout"), LAYOUT + 1)
    words = "a newer icfqueue works with this broker"
    cluster.wait(lambda: words in worker.log.read_text(errors="replace"), 60, "it says why")
    cluster.wait(
        lambda: "the Celery worker ended" in worker.log.read_text(errors="replace"),
        60,
        "it stops",
    )
    said = subprocess.run(
        [sys.executable, "-m", "icfqueue", "enqueue", PROJECT, *few],
        env={**os.environ, **cluster.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, words in said.stderr) == (3, True)
    assert "update icfqueue" in said.stderr
    client.delete(key("layout"))
    cluster.command("enqueue", PROJECT, *few)
    cluster.wait_drained(90)
    assert cluster.counts() == {State.DONE: len(few)}
