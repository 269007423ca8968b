"""What stands at the end of ``run``: what was done, and how to get at it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icfqueue.cli.display.amounts import amount, duration
from icfqueue.cli.shell.again import ours
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary
from icfqueue.outputs.deposit import REFS
from icfqueue.store.directory import Store

IDLE = 0.1
"""Share of a run's time in which nothing was at work from which on that is told."""


class Worked:
    """How long a run took, and for how much of that anything was at work."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._ended: float | None = None
        self.at_work = 0.0
        """Seconds."""

    def look(self, line: ProjectSummary) -> None:
        """Note how the visits stand; what was so counts since the last look."""
        now = time.monotonic()
        if line.counts[State.RUNNING] or line.between:
            self.at_work += now - self._last
        self._last = now

    def end(self) -> None:
        """Note the end."""
        self._ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return (self._ended or time.monotonic()) - self._began


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended.

    Attributes
    ----------
    before, after
        The visits when it began, and now.
    """

    before: ProjectSummary
    after: ProjectSummary
    worked: Worked


def amount_line(run: Run) -> str:
    """Return how much was done in a run; empty if no visit was.

    The rate is that of the time in which anything was at work.
    """
    before, after, worked = run.before, run.after, run.worked
    done = after.counts[State.DONE] - before.counts[State.DONE]
    if done <= 0:
        return ""
    size = max(0, after.read_bytes - before.read_bytes)
    dicoms = max(0, after.read_dicoms - before.read_dicoms)
    words = f"{done} visit{'' if done == 1 else 's'}"
    if size or dicoms:
        # Else all was read by a run before, which left the last steps.
        words += f", {dicoms} DICOMs, {amount(size)}"
    words += f" in {duration(worked.seconds)}"
    if worked.at_work < 1 or not size:
        return words
    told = f"{amount(int(size / worked.at_work))}/s"
    if worked.seconds - worked.at_work > max(1.0, IDLE * worked.seconds):
        told += f" in the {duration(worked.at_work)} at work"
    return f"{words} ({told})"


def access_lines(store: Store, settings: Settings, done: Sequence[Visit]) -> Iterator[str]:
    """Yield where the catalog is, and how to clone what was made.

    Parameters
    ----------
    done
        Visits that are.
    """
    if not done:
        return
    project = done[0].project
    page = store.catalog_dir(project) / "index.html"
    if store.exists(page):
        yield f"catalog: {page}"
        yield f"on the web: {settings.store_url}/{project}/{page.parent.name}/"
        yield f"to look at it: {ours('serve')}"
    whole = store.exists(store.project_dir(project) / REFS)
    visit = None if whole else done[0]
    yield f"to clone {'it' if whole else 'a visit'}: {clone_command(store, project, visit)}"
    if settings.store_url != Settings().store_url:
        yield f"from the web: {web_command(settings, project, visit)}"


def clone_command(store: Store, project: str, visit: Visit | None = None) -> str:
    """Return the command that clones a dataset from where it is; to be pasted."""
    path = store.project_dir(project)
    words = ["icfqueue", "clone", str(path / visit.id if visit else path)]
    name, here = words[-1].rpartition("/")[2], Path.cwd()
    if (here / name).exists() or here.is_relative_to(store.root):
        # A clone must not lie in the store, nor on what is there.
        words.append(str(Path.home() / name))
    return shlex.join(words)


def web_command(settings: Settings, project: str, visit: Visit | None = None) -> str:
    """Return the command that clones a dataset from the store URL; to be pasted."""
    words = ["icfqueue", "clone", project]
    if visit is not None:
        words.append(visit.id)
    words += ["--store-url", settings.store_url]
    if settings.credential:
        words += ["--credential", settings.credential]
    return shlex.join(words)
