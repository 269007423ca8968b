"""Where a report goes, and how it and the catalog find each other."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
from pathlib import Path
from urllib.parse import quote

from icfqueue.catalog import pages, study
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs import ids
from icfqueue.reports.pages.page import Links
from icfqueue.reports.report import Report
from icfqueue.store.directory import Store

_INDEX = "index.html"


def links_within(store: Store, store_url: str, report: Report) -> Links:
    """Return the links of a report that lies in the catalog itself."""
    return Links(_INDEX, _pages(store, store_url, report))


def links_from(store: Store, store_url: str, report: Report, target: Path | None) -> Links:
    """Return the links of a report that lies at `target`.

    They are relative if that is in the store directory, which a server may show as a
    whole; else, and if nobody knows where it will lie, they lead to the store on the web.
    """
    known = _pages(store, store_url, report)
    if not known:
        return Links(None, {})
    catalog = store.catalog_dir(report.project) / _INDEX
    folder = target and target.absolute().parent.resolve()
    if folder and folder.is_relative_to(store.root.resolve()):
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

    What a link leads to is written, and what is no file, as a device, stays what it is.

    Raises
    ------
    UsageError
        It cannot be written; what was there stays.
    """
    real = target.resolve()
    new = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, "utf-8")
            return
        if real.exists() and not os.access(real, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            new.write_text(text, "utf-8")
            new.replace(real)
        finally:
            new.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        there = real.parent.is_dir()
        raise UsageError(
            f"{target} cannot be written: {error.strerror}",
            hint="name another file with -o, or '-o -' for standard output"
            if there
            else f"`mkdir -p {shlex.quote(str(target.parent))}`",
        ) from error
