"""The report on a study beside the pages of its catalog, which link to it.

It stays when a visit is added or the catalog is made anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from icfqueue.catalog import pages, site, study
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
    if another := of_another_store(store, project, store_url):
        raise another
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


def of_another_store(store: Store, project: str, store_url: str) -> UsageError | None:
    """Return what to say if `project` has a catalog, but one for another store URL.

    To make it anew for `store_url`, as a catalog that is missing, would be no remedy.
    """
    folder = store.catalog_dir(project)
    try:
        home = json.loads(store.read_bytes(folder / site.SUPER))["dataset_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if home == pages.study_id(store_url, project):
        return None
    return UsageError(
        f"the catalog of {project} is not for {store_url}",
        hint=f"name its store URL, which {folder}/README.md has, with --store-url",
    )
