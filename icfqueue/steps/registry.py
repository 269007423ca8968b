"""From the name of a step to the module that does it, and the doing of it.

Which steps there are, and in which order, stands in :mod:`icfqueue.core.steps`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import cast

from icfqueue.core import steps
from icfqueue.core.errors import NotSeen
from icfqueue.core.options import Outcome
from icfqueue.outputs.completeness import without_tarball
from icfqueue.steps.job import Job


def module_of(name: str) -> ModuleType:
    """Return the module that does the step called `name`.

    It is imported when it is first needed: some bring DataLad with them.
    """
    return importlib.import_module(f"{__package__}.{steps.step(name).name}")


def run(name: str, job: Job) -> Outcome:
    """Do a step for one visit.

    A visit whose tarball was removed, because the deposit stands for it, has nothing to
    build, and its step is done; `fetch` and `cleanup` look for themselves. A step that
    misses a file of an earlier one is done a second time: a network file system may
    remember for a while that a file was not there.

    Raises
    ------
    StepError, Withdrawn
        As the step's own ``run``.
    """
    try:
        return _run(name, job)
    except NotSeen:
        job.look_again()
        return _run(name, job)


def _run(name: str, job: Job) -> Outcome:
    if steps.step(name).reads_tarball and without_tarball(
        job.store, job.visit, job.options
    ):
        return Outcome(worked=False, note="up to date; the tarball is not here")
    function = cast("Callable[[Job], Outcome]", module_of(name).run)
    return function(job)
