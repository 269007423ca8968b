"""The tasks, one for each step: references in, one call, one word back."""

from __future__ import annotations

from icfqueue.pipeline import handle_message
from icfqueue.pipeline.messages import TASK_PREFIX
from workers.app import app
from workers.lifecycle import this_worker


@app.task(name=f"{TASK_PREFIX}fetch")
def fetch(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(this_worker(), "fetch", project, visit, generation)


@app.task(name=f"{TASK_PREFIX}index_tar")
def index_tar(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(this_worker(), "index_tar", project, visit, generation)


@app.task(name=f"{TASK_PREFIX}write_json")
def write_json(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(this_worker(), "write_json", project, visit, generation)


@app.task(name=f"{TASK_PREFIX}export_repo")
def export_repo(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(this_worker(), "export_repo", project, visit, generation)


@app.task(name=f"{TASK_PREFIX}update_catalog")
def update_catalog(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(
        this_worker(), "update_catalog", project, visit, generation
    )


@app.task(name=f"{TASK_PREFIX}cleanup")
def cleanup(project: str, visit: str, generation: int) -> str:
    return handle_message.handle(this_worker(), "cleanup", project, visit, generation)
