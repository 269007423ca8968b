"""What the tests of the pipeline share: steps that fail, a writer of catalogs, questions.

Each stands for one part of the code and lets a test say what happens in it; all else is
the real thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from icfqueue.core.errors import StepError
from icfqueue.core.guard import Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.settings import Settings
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.steps import export_repo
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from support.in_process_queue import InProcessQueue, Message

CATALOG_MESSAGE: Message = (UPDATE_CATALOG.name, "study_1", "v000", 1)
"""Any message for the step means all visits of the study that are ready for it."""


# Steps that do what a test wants


class FailingStep:
    """Stands for a step's ``run``: raises, and keeps the ids of the visits it was for."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls: list[str] = []

    def __call__(self, job: Job) -> Outcome:
        self.calls.append(job.visit.id)
        raise self.error


class InterruptedExport:
    """The real export; `deed` is done in the middle of it, before anything is published.

    It takes the place of ``export_repo.run`` for as long as `monkeypatch` lasts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
        self.deed = deed
        self.asked: list[str] = []
        self._monkeypatch = monkeypatch
        self._run = export_repo.run
        monkeypatch.setattr(export_repo, "run", self)

    def __call__(self, job: Job) -> Outcome:
        self._before_change = job.guard.before_change
        self._monkeypatch.setattr(job.guard, "before_change", self.before_change)
        return self._run(job)

    def before_change(self, name: str) -> None:
        if not self.asked:
            self.deed()
        self.asked.append(name)
        self._before_change(name)


class CatalogWriter:
    """Stands for ``study.add_visits``: counts batches, fails where it is told to.

    Attributes
    ----------
    batches
        The number of visits of each call that came to its end.
    errors
        Visit id to the error that is its result.
    first
        Done at the beginning of each call.
    begun, go_on
        Set when a call has begun; waited for before it goes on.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.errors: dict[str, StepError] = {}
        self.first: Callable[[], object] = lambda: None
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self._writing = threading.Lock()

    def add_visits(
        self,
        store: Store,
        project: str,
        visits: Sequence[Visit],
        store_url: str,
        settings: Settings,
        *,
        guard: Guard,
        **_: object,
    ) -> Results:
        del store, project, store_url, settings
        self.first()
        assert self._writing.acquire(blocking=False), "two write at once"
        try:
            self.begun.set()
            assert self.go_on.wait(60)
            guard.advance()
            guard.before_change("super.json")
        finally:
            self._writing.release()
        self.batches.append(len(visits))
        done = Outcome(worked=True)
        return {visit: self.errors.get(visit.id, done) for visit in visits}


# Visits on their way


def take_message_for(queue: InProcessQueue, visit: Visit, step: str) -> Message:
    """Let the visit come as far as `step`; return the message for it."""
    queue.drain(until=lambda: queue.record(visit).step == step)
    message = queue.take()
    while message and message[0] != step:
        message = queue.take()
    return message or (step, visit.project, visit.id, queue.record(visit).generation)


def enqueue_before_catalog(queue: InProcessQueue, visits: Sequence[Visit]) -> None:
    """Have `visits` wait for their study page; their outputs are not made."""
    # A store directory without any project looks as if it was not mounted.
    queue.store.project_dir(visits[0].project).mkdir(exist_ok=True)
    queue.enqueue(visits, superdataset=False)
    for visit in visits:
        queue.advance(visit, UPDATE_CATALOG.name)


def visits_before_catalog(queue: InProcessQueue, count: int) -> list[Visit]:
    """Return `count` visits that wait for their study page; no message is left of them."""
    visits = [Visit("study_1", f"v{number:03d}") for number in range(count)]
    enqueue_before_catalog(queue, visits)
    while queue.take():
        pass
    return visits


# Questions


def error_of(queue: InProcessQueue, visit: Visit) -> dict[str, str]:
    """Return the error in the visit's record; there must be one."""
    error = queue.record(visit).error
    assert error is not None
    return error


def deposited_files(queue: InProcessQueue, visit: Visit) -> set[str]:
    """Return the names of the deposits' files in the visit's project."""
    folder = queue.store.project_dir(visit.project)
    return {path.name for path in folder.iterdir() if "_XDLRA" in path.name}


def scratch_folders(queue: InProcessQueue) -> list[Path]:
    """Return the folders of unfinished work in the store directory."""
    return [path for path in queue.store.root.rglob("*") if path.name.startswith("tmp-")]
