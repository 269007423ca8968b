"""What stands at the end of ``run``: what was done, and how to get at it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from rich.filesize import decimal

from icfqueue.cli.live.frame import duration
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary
from icfqueue.outputs.deposit import REFS
from icfqueue.store.directory import Store


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended.

    Attributes
    ----------
    before, after
        The project when it began, and now.
    seconds
        How long it took.
    example
        A visit that is done.
    """

    before: ProjectSummary
    after: ProjectSummary
    seconds: float
    example: Visit | None = None


def closing_lines(store: Store, settings: Settings, run: Run) -> Iterator[str]:
    """Yield what was done in a run, where the catalog is, and how to clone the datasets.

    Nothing is said of what is not there.
    """
    project, after = run.after.project, run.after
    if (done := after.counts[State.DONE] - run.before.counts[State.DONE]) > 0:
        size = max(0, after.read_bytes - run.before.read_bytes)
        dicoms = max(0, after.read_dicoms - run.before.read_dicoms)
        took = duration(run.seconds) if run.seconds >= 1 else f"{run.seconds:.1f} s"
        visits = f"{done} visit{'s' if done != 1 else ''}"
        words = f"{visits}, {dicoms} DICOMs, {decimal(size)} in {took}"
        if run.seconds >= 1 and size:
            words += f" ({decimal(int(size / run.seconds))}/s)"
        yield words
    if not after.counts[State.DONE]:
        return
    page = store.catalog_dir(project) / "index.html"
    if store.exists(page):
        yield f"catalog: {page}"
        yield f"on the web: {settings.store_url}/{project}/{page.parent.name}/"
        serve = ["icfqueue", "serve", "--store-dir", str(store.root)]
        yield f"to look at it: {shlex.join(serve)}"
    if store.exists(store.project_dir(project) / REFS):
        yield f"to clone it: {clone_command(settings, project)}"
    elif run.example is not None:
        yield f"to clone it: {clone_command(settings, project, run.example)}"


def clone_command(settings: Settings, project: str, visit: Visit | None = None) -> str:
    """Return the command that clones a project's dataset, or a visit's; to be pasted."""
    words = ["icfqueue", "clone", project]
    if visit is not None:
        words.append(visit.id)
    if settings.store_url != Settings().store_url:
        words += ["--store-url", settings.store_url]
    if settings.credential:
        words += ["--credential", settings.credential]
    return shlex.join(words)
