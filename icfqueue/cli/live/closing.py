"""What stands at the end of ``run``: what was done, and how to get at it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from icfqueue.cli.display.amounts import amount, duration
from icfqueue.cli.shell.again import ours
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


def amount_line(run: Run) -> str:
    """Return how much was done in a run; empty if no visit was."""
    before, after = run.before, run.after
    done = after.counts[State.DONE] - before.counts[State.DONE]
    if done <= 0:
        return ""
    size = max(0, after.read_bytes - before.read_bytes)
    dicoms = max(0, after.read_dicoms - before.read_dicoms)
    words = f"{done} visit{'' if done == 1 else 's'}, {dicoms} DICOMs, {amount(size)}"
    words += f" in {duration(run.seconds)}"
    if run.seconds >= 1 and size:
        words += f" ({amount(int(size / run.seconds))}/s)"
    return words


def access_lines(store: Store, settings: Settings, run: Run) -> Iterator[str]:
    """Yield where the catalog is, and how to clone what was made."""
    if run.example is None:
        return
    project = run.example.project
    page = store.catalog_dir(project) / "index.html"
    if store.exists(page):
        yield f"catalog: {page}"
        yield f"on the web: {settings.store_url}/{project}/{page.parent.name}/"
        yield f"to look at it: {ours('serve')}"
    whole = store.exists(store.project_dir(project) / REFS)
    command = clone_command(settings, project, None if whole else run.example)
    yield f"to clone {'it' if whole else 'a visit'}: {command}"


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
