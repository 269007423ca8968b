"""The steps of a visit, named once and in order; everything else reads them here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from icfqueue.steps.job import Job, Outcome


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        How status, messages and errors call it; an interface.
    queue
        The Celery queue of its tasks; an interface, so that a site can run two
        downloaders and forty indexers.
    module
        The module whose ``run(job)`` does the work; imported when it is first needed,
        because some bring DataLad with them.
    reads_tarball
        Whether it makes what only the tarball can give; not needed again for a visit
        that is complete and whose tarball was removed.
    """

    name: str
    queue: str
    module: str
    reads_tarball: bool = False

    def run(self, job: Job) -> Outcome:
        """Do the step for one visit, unless its outputs are all it needs.

        A visit whose tarball was removed, because the deposit stands for it, has nothing
        to build; `fetch` and `cleanup` look for themselves.
        """
        if self.reads_tarball and _complete_without_tarball(job):
            return Outcome(worked=False, note="up to date; the tarball is not here")
        function = importlib.import_module(self.module).run
        return cast("Callable[[Job], Outcome]", function)(job)


STEPS = (
    Step("fetch", "fetch", "icfqueue.steps.fetch"),
    Step("index_tar", "index", "icfqueue.steps.index_tar", reads_tarball=True),
    Step("write_json", "index", "icfqueue.steps.write_json", reads_tarball=True),
    Step("export_repo", "export", "icfqueue.steps.export_repo", reads_tarball=True),
    Step("update_catalog", "catalog", "icfqueue.catalog.study"),
    Step("cleanup", "catalog", "icfqueue.steps.cleanup"),
)
"""In the order in which a visit goes through them."""

NAMES = tuple(step.name for step in STEPS)
QUEUES = tuple(dict.fromkeys(step.queue for step in STEPS))
GATHERED = "update_catalog"
"""The step that is done for many visits of a study at once."""


def _complete_without_tarball(job: Job) -> bool:
    from icfqueue.outputs import completeness

    return completeness.without_tarball(job)


_BY_NAME = {step.name: step for step in STEPS}


def step(name: str) -> Step:
    """Return the step called `name`.

    Raises
    ------
    KeyError
        There is none; names from outside are checked with :data:`NAMES` first.
    """
    return _BY_NAME[name]


def after(name: str) -> str | None:
    """Return the name of the step after `name`, or None after the last."""
    position = NAMES.index(name) + 1
    return NAMES[position] if position < len(NAMES) else None
