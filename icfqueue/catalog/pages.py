"""The pages of a catalog as data: what stands on a visit's page and on its study's.

Nothing here reads or writes a file, and nothing depends on the clock, the host or the
order in which visits were finished: the same metadata give the same bytes.

Layout and meaning of the JSON are those of datalad-catalog 1.1 (its JSON schema, and
what its ``catalog_add`` writes for the same record; a test compares the two).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from icfqueue.catalog.summary import SERIES_TAGS, Series, Value, VisitSummary
from icfqueue.outputs import deposit, ids
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.tarball.dicom_tags import NAMES

VERSION = "latest"
"""Dataset version of every page: its address stays when a visit is replaced."""

MAX_VALUES = 500
"""Distinct values of one tag that a page shows; a tarball may hold any number."""

MAX_SERIES = 1000
"""Series of one visit that its page lists."""

_KB = 1024
_SOURCE = "icfqueue"
_LAYOUT = "3"
"""Goes up when the same metadata shall give other pages, or the site has changed: a
catalog of another layout is made anew."""

_SOURCES = [{"source_name": _SOURCE, "source_version": _LAYOUT}]
_EARLIER = tuple([{"source_name": _SOURCE, "source_version": old}] for old in "12")
"""Layouts of before, whose pages the site of today can show as well."""

SERIES_COLUMNS = (*SERIES_TAGS, "Images", "Bytes")
"""Of the table of series on a visit's page."""

REPORT = "report.html"
"""Name in the catalog of the report on the study, if one was published there."""

MAX_KEYWORDS = 100
"""Keywords of the whole study that its page names by itself."""

CatalogRecord = dict[str, Any]
"""A page as the catalog's JSON schema has it."""


def study_id(store_url: str, project: str) -> str:
    """Return the dataset id of the study's page: that of the project's dataset."""
    return str(ids.superdataset_id(store_url, project))


def page_path(dataset_id: str) -> PurePosixPath:
    """Return where a page lies in the catalog: where the browser's code looks for it."""
    digest = hashlib.md5(
        f"{dataset_id}-{VERSION}".encode(), usedforsecurity=False
    ).hexdigest()
    return PurePosixPath("metadata", dataset_id, VERSION, digest[:3], f"{digest[3:]}.json")


def visit_record(summary: VisitSummary, dataset_id: str, store_url: str) -> CatalogRecord:
    """Return the record of a visit's page."""
    visit = summary.visit
    return _record(
        dataset_id,
        visit.id,
        f"DICOM data of visit {visit.id} of study {visit.project}.",
        # A string, not a list: datalad-catalog's own page rewrites addresses in lists.
        url=deposit.clone_url(store_url, visit),
        keywords=summary.keywords,
        additional_display=[
            _shows("Series", _series_table(summary.series)),
            _shows("DICOM", {tag: _capped(summary.values[tag]) for tag in NAMES}),
            _shows("Tarball", _tarball(summary.tarball, store_url)),
        ],
        top_display=_top("TAR file size", summary.tarball.size, summary.dicoms),
    )


def _shows(name: str, content: CatalogRecord) -> CatalogRecord:
    return {"name": name, "icon": "far fa-file-image", "content": content}


def _series_table(series: Sequence[Series]) -> CatalogRecord:
    return {
        "columns": list(SERIES_COLUMNS),
        "rows": [[*one.tags, one.images, one.bytes] for one in series[:MAX_SERIES]],
        "total": len(series),
    }


def _tarball(tarball: TarballMeta, store_url: str) -> CatalogRecord:
    return {
        "url": f"{store_url.rstrip('/')}/{tarball.storepath}",
        "bytes": tarball.size,
        "md5": tarball.md5,
    }


def _capped(values: Sequence[Value]) -> list[Value] | None:
    """Return what the page shows of `values`; None is shown as "not specified"."""
    if len(values) > MAX_VALUES:
        return [*values[:MAX_VALUES], f"… and {len(values) - MAX_VALUES} more"]
    return list(values) or None


def study_entry(summary: VisitSummary, dataset_id: str) -> CatalogRecord:
    """Return the visit's entry on the study page.

    It has what the study page shows of the visit, so that neither the browser nor the
    next update has to read the pages of all visits.
    """
    return {
        "dataset_id": dataset_id,
        "dataset_version": VERSION,
        "dataset_path": summary.visit.id,
        "dirs_from_path": [summary.visit.id],
        "keywords": summary.keywords,
        "nr_series": len(summary.series),
        "nr_dicoms": summary.dicoms,
        "tar_bytes": summary.tarball.size,
        "tar_size": format_bytes(summary.tarball.size),
    }


def entries_of(
    record: CatalogRecord, *, earlier: bool = False
) -> dict[str, CatalogRecord] | None:
    """Return what a study page lists, by visit id.

    None if the page has another layout, or lists what somebody added by hand.

    Parameters
    ----------
    earlier
        A layout of before will do, too.
    """
    known = (_SOURCES, *_EARLIER) if earlier else (_SOURCES,)
    if record["metadata_sources"]["sources"] not in known:
        return None
    listed: list[CatalogRecord] = record.get("subdatasets", [])
    if not all({"keywords", "nr_dicoms", "tar_bytes"} <= {*entry} for entry in listed):
        return None
    return {entry["dataset_path"]: entry for entry in listed}


def study_record(
    project: str,
    dataset_id: str,
    entries: Iterable[CatalogRecord],
    clone_url: str | None = None,
    *,
    report: bool = False,
) -> CatalogRecord:
    """Return the record of the study page.

    Parameters
    ----------
    entries
        The visits, each by :func:`study_entry`.
    clone_url
        Of the dataset that has all visits as subdatasets; None if there is none.
    report
        There is one (:data:`REPORT`), to be linked to.
    """
    listed = sorted(entries, key=lambda entry: str(entry["dataset_path"]))
    keywords = {word for entry in listed for word in entry["keywords"]}
    more = {"url": clone_url} if clone_url else {}
    top = _top(
        "Size of all TAR files",
        sum(entry["tar_bytes"] for entry in listed),
        sum(entry["nr_dicoms"] for entry in listed),
    )
    return _record(
        dataset_id,
        project,
        f"DICOM data of the visits of study {project}. Each visit is a DataLad dataset "
        "of its own; its page has its series, its size and the command that clones it.",
        keywords=sorted(keywords)[:MAX_KEYWORDS],
        subdatasets=listed,
        top_display=with_report(top) if report else top,
        **more,
    )


def _record(dataset_id: str, name: str, description: str, **more: Any) -> CatalogRecord:
    return {
        "type": "dataset",
        "dataset_id": dataset_id,
        "dataset_version": VERSION,
        "name": name,
        "description": description,
        "metadata_sources": {"sources": _SOURCES},
        **more,
    }


def _top(label: str, tar_bytes: int, dicoms: int) -> list[CatalogRecord]:
    return [
        {"name": label, "value": format_bytes(tar_bytes)},
        {"name": "Nr of DICOMs", "value": dicoms},
    ]


def with_report(top: list[CatalogRecord]) -> list[CatalogRecord]:
    """Return what a study page shows at its top, and that there is a report."""
    told = {"name": "Report", "value": REPORT}
    return [*(one for one in top if one != told), told]


def node(record: CatalogRecord) -> CatalogRecord:
    """Return what ``catalog_add`` of datalad-catalog 1.1 writes for a new `record`.

    Written here because ``catalog_add`` merges into the published file in place, keeps
    the first value of most properties for ever, and compares every visit of a study
    with every other one.
    """
    children = [
        {
            "type": "dataset",
            "name": entry["dataset_path"],
            "dataset_id": entry["dataset_id"],
            "dataset_version": entry["dataset_version"],
        }
        for entry in record.get("subdatasets", [])
    ]
    fixed = {key: record[key] for key in ("type", "dataset_id", "dataset_version")}
    given = {
        key: value
        for key, value in record.items()
        if value and key not in fixed and key != "metadata_sources"
    }
    sources = {
        "key_source_map": {key: [_SOURCE] for key in given},
        "sources": record["metadata_sources"]["sources"],
    }
    return {**fixed, "children": children, "metadata_sources": sources, **given}


def encode(value: CatalogRecord) -> bytes:
    """Return `value` as JSON, all ASCII: an odd letter of a tag cannot spoil the file."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def format_bytes(size: int) -> str:
    """Return `size` for people, as the institute's catalogs show it (1 KB = 1024)."""
    value = float(size)
    for unit in ("Bytes", "KB", "MB", "GB", "TB"):
        if round(value, 2) < _KB:
            return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"
        value /= _KB
    return f"{value:.2f} PB"
