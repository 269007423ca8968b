"""``catalog``: the pages of a study made anew, while workers leave them alone."""

from __future__ import annotations

from icfqueue.catalog import study
from icfqueue.core.errors import Unreachable
from icfqueue.core.options import Results
from icfqueue.core.settings import Settings
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import check_id
from icfqueue.ledger.ledger import Ledger
from icfqueue.pipeline.catalog_batch import lock_of
from icfqueue.pipeline.heartbeat import Heartbeat
from icfqueue.store.directory import Store


def rebuild_catalog(
    settings: Settings, store: Store, ledger: Ledger, project: str
) -> Results:
    """Make the catalog of `project` anew from its metadata files.

    Returns
    -------
    dict
        How each visit fared: :func:`icfqueue.catalog.study.rebuild`.

    Raises
    ------
    Unreachable
        A worker is writing it and does not end.
    UsageError
        There is no such project.
    StepError
        It cannot be written; the old catalog stays.
    """
    check_id(project, "project")
    name, lease = lock_of(project), settings.lease
    with ledger.locks.holding(name, lease, wait=2 * lease) as token:
        if token is None:
            raise Unreachable(
                f"the catalog of {project} is being written by a worker",
                hint="try again in a minute",
            )
        stall, lock = settings.stall[UPDATE_CATALOG.name], (name, token)
        with Heartbeat(ledger, ledger, {}, lease=lease, stall=stall, lock=lock) as guard:
            return study.rebuild(store, project, settings.store_url, settings, guard)
