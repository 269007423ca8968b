"""The report on a project: what its visits have, and how they differ from each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from icfqueue.core.errors import StepError, UsageError
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import Record
from icfqueue.reports import series_rows
from icfqueue.reports.differences import Difference, differences_of
from icfqueue.reports.disk import Usage, usage_of
from icfqueue.reports.pattern import (
    Pattern,
    Scan,
    find_pattern,
    pattern_like,
    scans_of,
)
from icfqueue.reports.series_rows import ProjectSeries
from icfqueue.reports.work import Work, work_of
from icfqueue.store.directory import Store

CSV_FIELDS = ("project", "visit", "kind", "protocol", "series_numbers", "words")
"""Of ``icfqueue report --format csv``, one row a difference."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a project.

    Attributes
    ----------
    scans
        The series of each visit, by visit id.
    differing
        The visits that differ, with what.
    images, bytes
        Of all series together.
    untold
        Visits whose series are not known, with the reason.
    flagged
        What of a person is in paths and tags of visits, by visit id; no value.
    """

    project: str
    pattern: Pattern
    scans: Mapping[str, Sequence[Scan]]
    differing: Mapping[str, Sequence[Difference]]
    images: int
    bytes: int
    work: Work
    usage: Usage
    untold: Mapping[Visit, StepError] = field(default_factory=dict)
    flagged: Mapping[str, Identifiers] = field(default_factory=dict)


def make_report(
    store: Store, project: str, records: Iterable[Record] = (), like: str | None = None
) -> Report:
    """Return the report on `project`.

    Parameters
    ----------
    records
        What the queue knows of its visits; none without a queue.
    like
        Id of the visit that is taken as the pattern.

    Raises
    ------
    UsageError
        There is no such project or visit, or no series are known.
    """
    told = series_rows.of_project(store, project)
    if not told.rows:
        raise UsageError(
            f"no series of {project} are known",
            hint=f"'icfqueue run {project}'",
        )
    known = list(records)
    made = report_on(told, work_of(known), usage_of(store, project), like)
    flagged = {one.visit.id: one.identifiers for one in known if one.identifiers}
    return replace(made, flagged=flagged)


def report_on(
    told: ProjectSeries, work: Work, usage: Usage, like: str | None = None
) -> Report:
    """Return the report on series that are known, at least one.

    Raises
    ------
    UsageError
        No series of the visit `like` are known.
    """
    scans = scans_of(told.rows)
    pattern = find_pattern(scans) if like is None else pattern_like(scans, like)
    compared = {visit: differences_of(some, pattern) for visit, some in scans.items()}
    return Report(
        told.rows[0].project,
        pattern,
        scans,
        {visit: found for visit, found in compared.items() if found},
        sum(row.images for row in told.rows),
        sum(row.bytes for row in told.rows),
        work,
        usage,
        told.untold,
    )


def csv_rows(report: Report) -> Iterator[dict[str, Any]]:
    """Yield a row for each difference: its values by :data:`CSV_FIELDS`."""
    for visit, differences in report.differing.items():
        for one in differences:
            yield {
                "project": report.project,
                "visit": visit,
                "kind": one.kind.value,
                "protocol": one.protocol,
                "series_numbers": " ".join(map(str, one.numbers)),
                "words": one.words,
            }


def as_json(report: Report) -> dict[str, Any]:
    """Return what ``icfqueue report --format json`` prints."""
    pattern = report.pattern
    return {
        "project": report.project,
        "visits": len(report.scans),
        "like": pattern.like,
        "has_usual_order": bool(pattern.order),
        "pattern": [
            {
                "protocol": protocol,
                "images": list(expected.images),
                "least_images": list(expected.least),
                "visits": expected.visits,
            }
            for protocol, expected in pattern.expected.items()
        ],
        "differing": [
            {
                "visit": visit,
                "differences": [
                    {
                        "kind": one.kind.value,
                        "protocol": one.protocol,
                        "series_numbers": list(one.numbers),
                        "words": one.words,
                    }
                    for one in differences
                ],
            }
            for visit, differences in report.differing.items()
        ],
        "failures": [
            {"cause": group.cause, "count": group.count, "example": group.example}
            for group in report.work.failures
        ],
        "identifiers": [
            {
                "visit": visit,
                "paths": found.paths,
                "tags": found.tags,
                "kinds": list(found.kinds),
            }
            for visit, found in report.flagged.items()
        ],
        "unknown": [visit.id for visit in report.untold],
    }
