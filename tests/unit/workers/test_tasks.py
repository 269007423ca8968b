"""The tasks are exactly the steps: ids in, one call, one word back."""

from __future__ import annotations

from typing import Any

import pytest

from icfqueue.broker.celery_app import TASK_PREFIX
from icfqueue.core.steps import NAMES, STEPS
from icfqueue.pipeline.step_log import Ending
from workers import context, tasks
from workers.app import app
from workers.telling.outcomes import StepFailed

OURS = {name: task for name, task in app.tasks.items() if name.startswith(TASK_PREFIX)}


def test_there_is_a_task_for_each_step_and_no_other() -> None:
    assert set(OURS) == {f"{TASK_PREFIX}{step.name}" for step in STEPS}


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_found_by_the_name_of_its_step(name: str) -> None:
    assert getattr(tasks, name).name == f"{TASK_PREFIX}{name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_task_hands_ids_and_its_own_step_on_and_gives_the_word_back(
    worker: context.WorkerContext, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen: list[Any] = []

    def handle(*arguments: Any, level: int | None) -> Ending:
        seen.append((*arguments, level))
        return Ending("queued")

    monkeypatch.setattr(tasks, "handle", handle)
    assert OURS[f"{TASK_PREFIX}{name}"]("study_1", "v1", 7) == "queued"
    assert seen == [(worker, name, "study_1", "v1", 7, None)]


def test_a_task_whose_visit_failed_fails_and_celery_logs_no_traceback(
    worker: context.WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker
    ending = Ending("failed", failed=("p/v fetch: cut: short",))
    monkeypatch.setattr(tasks, "handle", lambda *_, **__: ending)
    with pytest.raises(StepFailed, match="p/v fetch: cut: short"):
        OURS[f"{TASK_PREFIX}fetch"]("p", "v", 7)
    app.finalize()
    assert OURS[f"{TASK_PREFIX}fetch"].throws == (StepFailed,)


@pytest.mark.parametrize("name", NAMES)
def test_celery_tries_no_task_again(name: str) -> None:
    """None, and not the default of three: retries are the record's."""
    app.finalize()
    assert OURS[f"{TASK_PREFIX}{name}"].max_retries is None
