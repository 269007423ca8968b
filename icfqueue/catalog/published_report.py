"""The report on a study beside the pages of its catalog, which link to it.

It stays when a visit is added or the catalog is made anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from icfqueue.catalog import pages, study
from icfqueue.core.errors import UsageError
from icfqueue.core.guard import Guard
from icfqueue.store.directory import Store
from icfqueue.store.disk import disk_trouble


def publish(store: Store, project: str, store_url: str, text: str, guard: Guard) -> Path:
    """Put a report into the catalog of `project`; return where it is.

    Whoever calls it holds the study's lock.

    Parameters
    ----------
    text
        The page.

    Raises
    ------
    UsageError
        There is no catalog, or it is one for another store URL.
    StepError, Withdrawn
        It could not be written.
    """
    folder = store.catalog_dir(project)
    if not study.listed(store, project, store_url):
        raise UsageError(
            f"{project} has no catalog that a report could be put into",
            hint=f"icfqueue catalog {project}",
        )
    target = folder / pages.REPORT
    page = folder / pages.page_path(pages.study_id(store_url, project))
    with (
        disk_trouble(f"publishing the report on {project}"),
        store.catalog_scratch(project) as scratch,
    ):
        (scratch / "report").write_text(text, "utf-8")
        node = json.loads(store.read_bytes(page))
        node["top_display"] = pages.with_report(node["top_display"])
        (scratch / "page").write_bytes(pages.encode(node))
        store.publish_all([(scratch / "report", target), (scratch / "page", page)], guard)
    return target
