"""The series of a project's visits: from its table, and from files what that lacks.

The table is written with the catalog (:mod:`icfqueue.catalog.series_file`). Visits that
are on their way, or were done without a catalog, are read from their metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from icfqueue.catalog import series_file
from icfqueue.catalog.series_file import SeriesRow
from icfqueue.catalog.summary import read_summary
from icfqueue.core.errors import StepError, UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs import metadata_files
from icfqueue.store.directory import Store
from icfqueue.store.near_misses import check_folder, near_names

FIELDS = {
    "project": "project",
    "visit": "visit",
    "series_number": "number",
    "series_description": "description",
    "protocol": "protocol",
    "modality": "modality",
    "images": "images",
    "bytes": "bytes",
    "first_path": "first_path",
    "mr_acquisition_type": "acquisition",
    "pulse_sequence_name": "sequence",
}
"""Names of a row's fields as they are shown, in order, and as they are called here."""


@dataclass(frozen=True, slots=True)
class ProjectSeries:
    """The series of some visits of a project.

    Attributes
    ----------
    rows
        By visit and number.
    untold
        Visits that the table lacks and whose metadata cannot be read, with the reason.
    """

    rows: list[SeriesRow]
    untold: dict[Visit, StepError] = field(default_factory=dict)


def as_dict(row: SeriesRow) -> dict[str, str | int | None]:
    """Return a row as it is shown: a value for each of :data:`FIELDS`."""
    return {shown: getattr(row, name) for shown, name in FIELDS.items()}


def of_project(store: Store, project: str) -> ProjectSeries:
    """Return the series of all visits of `project`.

    Raises
    ------
    UsageError
        The store directory has no folder for `project`.
    """
    check_folder(store, project)
    rows = list(series_file.read(store, project) or [])
    listed = {row.visit for row in rows}
    found = ProjectSeries(rows)
    for visit in metadata_files.visits_here(store, project):
        if visit.id not in listed:
            try:
                rows += _of_metadata(store, visit)
            except StepError as error:
                found.untold[visit] = error
    if len(rows) > len(listed):
        rows.sort(key=_in_order)
    return found


def of_visit(store: Store, visit: Visit) -> ProjectSeries:
    """Return the series of one visit: from its metadata, or else from the table.

    Raises
    ------
    UsageError
        There is no such project, or nothing is known of the visit.
    StepError
        Its metadata cannot be read.
    """
    check_folder(store, visit.project)
    wanted = (visit.metadata_tarball, visit.metadata_dicoms)
    if all(store.exists(store.path(visit, name)) for name in wanted):
        return ProjectSeries(_of_metadata(store, visit))
    # Its metadata may have been removed once all was done.
    table = list(series_file.read(store, visit.project) or ())
    rows = [row for row in table if row.visit == visit.id]
    if not rows:
        here = metadata_files.visits_here(store, visit.project)
        near = near_names(
            visit.id, sorted({row.visit for row in table} | {v.id for v in here})
        )
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"nothing is known of the series of {visit}",
            hint=f"{guess}see 'icfqueue series {visit.project}' for those that are known",
        )
    return ProjectSeries(rows)


def _of_metadata(store: Store, visit: Visit) -> list[SeriesRow]:
    return series_file.rows_of(visit, read_summary(store, visit).series)


def _in_order(row: SeriesRow) -> tuple[str, bool, int, str, str]:
    absent = row.number is None
    return row.visit, absent, row.number or 0, row.description, row.protocol
