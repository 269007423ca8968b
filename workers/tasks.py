"""The tasks, one for each step: ids in, one call, one word back.

Written out, so that a task is found by its name; that they are those of
:data:`icfqueue.core.steps.STEPS` is tested.
"""

from __future__ import annotations

from celery import current_task

from icfqueue.broker.celery_app import TASK_PREFIX
from icfqueue.core.steps import (
    CLEANUP,
    EXPORT_REPO,
    FETCH,
    INDEX_TAR,
    UPDATE_CATALOG,
    WRITE_JSON,
    Step,
)
from icfqueue.pipeline.handle_message import handle
from workers.app import app
from workers.context import this_worker
from workers.telling.outcomes import as_celery_has_it


@app.task(name=TASK_PREFIX + FETCH.name)
def fetch(project: str, visit: str, generation: int) -> str:
    return _handle(FETCH, project, visit, generation)


@app.task(name=TASK_PREFIX + INDEX_TAR.name)
def index_tar(project: str, visit: str, generation: int) -> str:
    return _handle(INDEX_TAR, project, visit, generation)


@app.task(name=TASK_PREFIX + WRITE_JSON.name)
def write_json(project: str, visit: str, generation: int) -> str:
    return _handle(WRITE_JSON, project, visit, generation)


@app.task(name=TASK_PREFIX + EXPORT_REPO.name)
def export_repo(project: str, visit: str, generation: int) -> str:
    return _handle(EXPORT_REPO, project, visit, generation)


@app.task(name=TASK_PREFIX + UPDATE_CATALOG.name)
def update_catalog(project: str, visit: str, generation: int) -> str:
    return _handle(UPDATE_CATALOG, project, visit, generation)


@app.task(name=TASK_PREFIX + CLEANUP.name)
def cleanup(project: str, visit: str, generation: int) -> str:
    return _handle(CLEANUP, project, visit, generation)


def _handle(step: Step, project: str, visit: str, generation: int) -> str:
    """Act on a message; end the task as the visits' steps ended.

    Raises
    ------
    StepFailed, celery.exceptions.Retry
        A visit failed, or is tried again: Celery notes it, and does nothing about it.
    """
    # Kombu's name for the level at which the message lay.
    level = (current_task.request.delivery_info or {}).get("priority")
    found = handle(this_worker(), step.name, project, visit, generation, level=level)
    return as_celery_has_it(found)
