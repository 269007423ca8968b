"""Where a report goes, and how it and the catalog find each other."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import quote

from icfqueue.catalog import pages, study
from icfqueue.core.visit import Visit
from icfqueue.outputs import ids
from icfqueue.reports.pages.page import Links
from icfqueue.reports.report import Report
from icfqueue.store.directory import Store

_INDEX = "index.html"


def links_within(store: Store, store_url: str, report: Report) -> Links:
    """Return the links of a report that lies in the catalog itself."""
    return Links(_INDEX, _pages(store, store_url, report))


def links_from(store: Store, store_url: str, report: Report, target: Path) -> Links:
    """Return the links of a report that lies at `target`.

    They are relative if that is in the store directory, which a server may show as a
    whole; else they lead to the store on the web.
    """
    known = _pages(store, store_url, report)
    if not known:
        return Links(None, {})
    catalog = store.catalog_dir(report.project) / _INDEX
    folder = target.absolute().parent.resolve()
    if folder.is_relative_to(store.root.resolve()):
        between = os.path.relpath(catalog.resolve(), folder)
        return Links(quote(between), known)
    return Links(f"{store_url.rstrip('/')}/{report.project}/catalog/{_INDEX}", known)


def _pages(store: Store, store_url: str, report: Report) -> dict[str, str]:
    """Return the part of each page's address behind that of the catalog."""
    listed = study.listed(store, report.project, store_url)
    visits = (Visit(report.project, name) for name in report.scans)
    return {
        visit.id: f"#/dataset/{ids.dataset_id(store_url, visit)}/{pages.VERSION}"
        for visit in visits
        if visit in listed
    }


def write(target: Path, text: str) -> None:
    """Write a file outside of the store's care, whole or not at all.

    Raises
    ------
    OSError
        It cannot be written; what was there stays.
    """
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        new.write_text(text, "utf-8")
        new.replace(target)
    except OSError as error:
        error.filename = str(target)
        raise
    finally:
        new.unlink(missing_ok=True)
