"""A writer of the superdataset that dies leaves the old one or the new one."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.chaos_project import LONG, PROJECT
from support.forked import Forked
from support.superdatasets import URL, Look, commit_of, look, put_deposit, remove_deposit

from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import renewal
from icfqueue.store.directory import Store

VISITS = 1000 if LONG else 120
KILLS = 300 if LONG else 40


class Writer(Forked):
    """Has :mod:`one_renewal` renew the superdataset, and kill itself."""

    def __init__(self) -> None:
        super().__init__("one_renewal.py")

    def renew(self, root: Path, visits: set[str], seconds: float | None = None) -> int:
        """Return the exit status: 0, or the negative number of a signal."""
        return self.ask(
            root=str(root), project=PROJECT, url=URL, visits=sorted(visits), seconds=seconds
        )


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.close()


@dataclass
class Project:
    """Deposits that come, change and go.

    Attributes
    ----------
    there
        Visit id to the version of its deposit.
    """

    store: Store
    rng: random.Random
    there: dict[str, int] = field(default_factory=dict)
    made: int = 0

    @property
    def folder(self) -> Path:
        return self.store.project_dir(PROJECT)

    def change(self) -> set[str]:
        """Let some visits come, change or go; return which."""
        names = set()
        for _ in range(self.rng.randint(1, max(1, VISITS // 30))):
            self.made += 1
            name = f"visit_{self.rng.randrange(VISITS):04d}"
            visit = Visit(PROJECT, name)
            if name in self.there and self.rng.random() < 0.25:
                remove_deposit(self.store, visit)
                del self.there[name]
            else:
                put_deposit(self.store, visit, version=self.made)
                self.there[name] = self.made
            names.add(name)
        return names

    def links(self) -> dict[str, str]:
        """Return what the superdataset is to have."""
        return {
            name: commit_of(Visit(PROJECT, name), version)
            for name, version in self.there.items()
        }

    def look(self) -> Look:
        return look(self.folder)


def test_killed_at_random_moments_it_is_the_old_one_or_the_new_one(
    writer: Writer, store: Store, rng: random.Random, tmp_path: Path
) -> None:
    """Git finds every object, the history goes on, and in the end it is as from scratch."""
    project = Project(store, rng)
    project.folder.mkdir()
    waiting = project.change()
    assert writer.renew(store.root, waiting) == 0
    last = project.look()
    began = time.monotonic()
    waiting = project.change()
    assert writer.renew(store.root, waiting) == 0
    usual = time.monotonic() - began
    last, waiting, killed, new = project.look(), set(), 0, 0
    while killed < KILLS:
        waiting |= project.change()
        status = writer.renew(store.root, waiting, rng.uniform(0, 1.2 * usual))
        assert status in {0, -signal.SIGKILL}
        found = project.look()
        # The last one is in its history: every clone can be updated.
        assert last.commit in found.log
        assert found.refs in found.log
        if found.commit == last.commit:
            assert found.links == last.links
            # Killed, or what came has gone again before it was looked at.
            assert status or project.links() == last.links
        else:
            assert found.links == project.links()
            new += 1
        if status:
            killed += 1
        else:
            assert found.refs == found.commit
            waiting.clear()
        last = found
    assert writer.renew(store.root, waiting) == 0
    found = project.look()
    assert found.links == project.links()
    assert found.refs == found.commit
    other = Store(tmp_path / "other")
    other.root.mkdir()
    for name, version in project.there.items():
        put_deposit(other, Visit(PROJECT, name), version=version)
    renewal.renew(other, PROJECT, None, URL)
    assert look(other.project_dir(PROJECT)).tree == found.tree
    left = {path.name for path in project.folder.iterdir() if "XDLRA" not in path.name}
    assert left == set()
    words = f"{killed} writers killed, {len(found.links)} visits, {len(found.log)} commits"
    sys.stdout.write(f"chaos: {words}, {new} rounds with a new one\n")
