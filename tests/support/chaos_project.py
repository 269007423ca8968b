"""The project that the tests of chaos work on, and how it looks when nothing went wrong."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from icfqueue.core import steps
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import members_of_visit, shipped, write_tar
from icfqueue.outputs.deposit import EXPORT, REFS
from icfqueue.steps import registry, update_catalog
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from support import superdatasets

LONG = os.environ.get("ICFQUEUE_CHAOS") == "long"
"""Whether ``make chaos`` runs; read before the tests get an environment of their own."""

SEED = int(os.environ.get("ICFQUEUE_CHAOS_SEED") or secrets.randbelow(1_000_000))
"""Where every random choice of a run comes from; printed, and settable to run it again."""

VISITS = 40
FEW = 10
"""Visits of the project, and of those with which tests do that need no more."""

PROJECT = "study_1"


def build_visits(root: Path, count: int) -> list[Visit]:
    """Make `count` small tarballs (2 or 3 DICOMs) with their MD5 files below `root`."""
    folder = root / PROJECT
    folder.mkdir(parents=True)
    files = shipped("dicomdirtests/98892003")
    visits = [Visit(PROJECT, f"visit_{number:02d}") for number in range(count)]
    for number, visit in enumerate(visits):
        chosen = [files[(number + more) % len(files)] for more in range(2 + number % 2)]
        path = folder / visit.tarball
        write_tar(path, members_of_visit(visit, chosen))
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        (folder / visit.md5sum).write_text(f"{md5}  {visit.tarball}\n")
    return visits


def run_undisturbed(root: Path, visits: list[Visit], store_url: str) -> None:
    """Do every step of `visits`, one after the other, without a queue."""
    store = Store(root)
    (root / PROJECT).mkdir(parents=True, exist_ok=True)
    settings = Settings(store_dir=root, keep_free=0)
    jobs = [Job(visit, Options(store_url), store, settings) for visit in visits]
    for name in steps.NAMES:
        if name == steps.UPDATE_CATALOG.name:
            update_catalog.run_batch(jobs)
            continue
        for job in jobs:
            registry.run(name, job)


def snapshot(folder: Path) -> dict[str, str]:
    """Return path to MD5 of everything below `folder`; folders have an empty one.

    Of the superdataset's files there is what they say instead, the tree and that they
    agree: how many commits led there depends on when each visit came.
    """
    found = {
        str(path.relative_to(folder)): ""
        if path.is_dir()
        else hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }
    if EXPORT in found:
        found[EXPORT], agree = superdatasets.agreed(folder)
        if REFS in found:
            found[REFS] = str(agree)
    return found
