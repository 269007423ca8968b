"""The steps of a visit, named once and in order; everything else reads them here.

What each does stands in the module of :mod:`icfqueue.steps` that has its name.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    stall
        Seconds that it may go without progress, unless set otherwise.
    reads_tarball
        Whether it makes what only the tarball can give; not needed again for a visit
        that is complete and whose tarball was removed.
    """

    name: str
    queue: str
    stall: float
    reads_tarball: bool = False


FETCH = Step("fetch", "fetch", 300.0)
INDEX_TAR = Step("index_tar", "index", 600.0, reads_tarball=True)
WRITE_JSON = Step("write_json", "index", 300.0, reads_tarball=True)
EXPORT_REPO = Step("export_repo", "export", 900.0, reads_tarball=True)
UPDATE_CATALOG = Step("update_catalog", "catalog", 600.0)
"""Done for many visits of a study at once: :mod:`icfqueue.pipeline.catalog_batch`."""
CLEANUP = Step("cleanup", "catalog", 300.0)

STEPS = (FETCH, INDEX_TAR, WRITE_JSON, EXPORT_REPO, UPDATE_CATALOG, CLEANUP)
"""In the order in which a visit goes through them."""

NAMES = tuple(step.name for step in STEPS)
QUEUES = tuple(dict.fromkeys(step.queue for step in STEPS))

_BY_NAME = {step.name: step for step in STEPS}


def step(name: str) -> Step:
    """Return the step called `name`.

    Raises
    ------
    KeyError
        There is none; names from outside are checked with :data:`NAMES` first.
    """
    return _BY_NAME[name]


def ticket_of(name: str, *, streamed: bool) -> Step:
    """Return the step by whose messages a visit is served that stands at `name`.

    Its own; but reading a tarball as it comes from the store is a download, and waits
    among those: a site's number of downloads stays what it set.

    Raises
    ------
    KeyError
        There is no such step.
    """
    return FETCH if streamed and name == INDEX_TAR.name else step(name)


def position(name: str) -> int:
    """Return the place of the step called `name` in :data:`STEPS`, from 0.

    Raises
    ------
    ValueError
        There is none.
    """
    return NAMES.index(name)
