"""The pages of a catalog as data: what stands on a visit's page and on its study's.

Nothing here reads or writes a file, and nothing depends on the clock, the host or the
order in which visits were finished: the same metadata give the same bytes.

Layout and meaning of the JSON are those of datalad-catalog 1.1 (its JSON schema, and
what its ``catalog_add`` writes for the same record; a test compares the two).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from icfqueue.core.visit import Visit
from icfqueue.tarball.dicom_tags import NAMES

KEYWORD_TAGS = ("ProtocolName", "Modality")
"""Tags whose values become keywords, by which the study page can be filtered."""

VERSION = "latest"
"""Dataset version of every page: its address stays when a visit is replaced."""

MAX_VALUES = 500
"""Distinct values of one tag that a page shows; a tarball may hold any number."""

MAX_KEYWORDS = 100
"""Keywords of one visit; they are kept on the study page, which grows with visits."""

MAX_LENGTH = 256
"""Characters of a value that are shown; DICOM's LO and SH have at most 64 (PS3.5)."""

_SAFE_INTEGER = 2**53 - 1
"""Largest whole number that JavaScript keeps exactly."""

_KB = 1024
_SOURCE = "icfqueue"
_LAYOUT = "1"
"""Goes up when the same metadata shall give other pages, or the site has changed: a
catalog of another layout is made anew."""

_SOURCES = [{"source_name": _SOURCE, "source_version": _LAYOUT}]

Value = str | int
CatalogRecord = dict[str, Any]
"""A page as the catalog's JSON schema has it."""


@dataclass(frozen=True, slots=True)
class VisitSummary:
    """The content of a visit's page.

    Attributes
    ----------
    tar_bytes
        Size of the tarball.
    dicoms
        Number of DICOM files in it.
    values
        For each of :data:`~icfqueue.tarball.dicom_tags.NAMES` its distinct values, sorted,
        numbers first.
    """

    visit: Visit
    tar_bytes: int
    dicoms: int
    values: Mapping[str, Sequence[Value]]

    @property
    def keywords(self) -> list[str]:
        """Distinct values of :data:`KEYWORD_TAGS`."""
        found = dict.fromkeys(
            str(value) for tag in KEYWORD_TAGS for value in self.values[tag]
        )
        return list(found)[:MAX_KEYWORDS]


def summarize(
    visit: Visit, tar_bytes: int, dicoms: Sequence[Mapping[str, Any]]
) -> VisitSummary:
    """Return the summary of a visit.

    Parameters
    ----------
    tar_bytes
        Size of the tarball.
    dicoms
        The entries of ``…_metadata_dicoms.json``. A tag is a string, a number or, with
        several values, a list of these; ``""`` is an absent one.
    """
    values = {tag: _distinct(entry.get(tag) for entry in dicoms) for tag in NAMES}
    return VisitSummary(visit, tar_bytes, len(dicoms), values)


def _distinct(raw: Iterable[Any]) -> list[Value]:
    found: set[Value] = set()
    for value in raw:
        for single in value if isinstance(value, list) else (value,):
            shown = _shown(single)
            if shown != "":
                found.add(shown)
    return sorted(found, key=lambda value: (isinstance(value, str), value))


def _shown(value: Any) -> Value:
    """Return `value` as the browser can show it exactly."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    text = str(value).strip()
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def study_id(store_url: str, project: str) -> str:
    """Return the dataset id of the study's page: UUIDv5 (RFC 9562) of where it is."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{store_url.rstrip('/')}/{project}"))


def page_path(dataset_id: str) -> PurePosixPath:
    """Return where a page lies in the catalog: where the browser's code looks for it."""
    digest = hashlib.md5(
        f"{dataset_id}-{VERSION}".encode(), usedforsecurity=False
    ).hexdigest()
    return PurePosixPath("metadata", dataset_id, VERSION, digest[:3], f"{digest[3:]}.json")


def visit_record(summary: VisitSummary, dataset_id: str, clone_url: str) -> CatalogRecord:
    """Return the record of a visit's page."""
    visit = summary.visit
    return _record(
        dataset_id,
        visit.id,
        f"DICOM data of visit {visit.id} of study {visit.project}. The DICOM tab lists "
        "the values of selected tags over all files of the visit.",
        # A string, not a list: the page rewrites some addresses that stand in lists.
        url=clone_url,
        keywords=summary.keywords,
        additional_display=[
            {
                "name": "DICOM",
                "icon": "far fa-file-image",
                "content": {tag: _capped(summary.values[tag]) for tag in NAMES},
            }
        ],
        top_display=_top("TAR file size", summary.tar_bytes, summary.dicoms),
    )


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
        "nr_dicoms": summary.dicoms,
        "tar_bytes": summary.tar_bytes,
        "tar_size": format_bytes(summary.tar_bytes),
    }


def entries_of(record: CatalogRecord) -> dict[str, CatalogRecord] | None:
    """Return what a study page lists, by visit id.

    None if the page has another layout, or lists what somebody added by hand.
    """
    if record["metadata_sources"]["sources"] != _SOURCES:
        return None
    listed: list[CatalogRecord] = record.get("subdatasets", [])
    if not all({"keywords", "nr_dicoms", "tar_bytes"} <= {*entry} for entry in listed):
        return None
    return {entry["dataset_path"]: entry for entry in listed}


def study_record(
    project: str, dataset_id: str, entries: Iterable[CatalogRecord]
) -> CatalogRecord:
    """Return the record of the study page; `entries` by :func:`study_entry`."""
    listed = sorted(entries, key=lambda entry: str(entry["dataset_path"]))
    keywords = {word for entry in listed for word in entry["keywords"]}
    return _record(
        dataset_id,
        project,
        f"DICOM data of the visits of study {project}. Each visit in the Subdatasets tab "
        "is a DataLad dataset of its own; its page has its size, its series and the "
        "command that clones it.",
        keywords=sorted(keywords)[:MAX_KEYWORDS],
        subdatasets=listed,
        top_display=_top(
            "Size of all TAR files",
            sum(entry["tar_bytes"] for entry in listed),
            sum(entry["nr_dicoms"] for entry in listed),
        ),
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
