"""Visits whose tarballs are read as they come, and what is left of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from icfqueue.core import steps
from icfqueue.core.options import Outcome
from icfqueue.steps import registry
from icfqueue.steps.job import Job
from support.chaos_project import snapshot


def stream(job: Job) -> Job:
    """Return the job as that of a visit which is to be streamed."""
    return replace(job, options=replace(job.options, stream=True))


def run_steps(job: Job, names: tuple[str, ...] = steps.NAMES) -> list[Outcome]:
    """Do the steps one after the other, each told what its record would tell it."""
    done: list[Outcome] = []
    for name in names:
        streamed = any(outcome.streamed for outcome in done)
        done.append(registry.run(name, replace(job, streamed=streamed)))
    return done


def outputs(folder: Path) -> dict[str, str]:
    """Return path to MD5 of what was made of a project, without its tarballs."""
    return without_tarballs(snapshot(folder))


def without_tarballs(found: dict[str, str]) -> dict[str, str]:
    return {path: md5 for path, md5 in found.items() if not path.endswith("_dicom.tar")}


def put_md5(tarball: Path) -> str:
    """Publish the MD5 of a tarball beside it, as a store does; return it."""
    with tarball.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    tarball.with_name(f"{tarball.name}.md5sum").write_text(f"{md5}  {tarball.name}\n")
    return md5
