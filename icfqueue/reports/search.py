"""Search of all projects' series by an expression in SQL.

The expression is the user's own; what stands in the tables is not. DuckDB may read the
tables and no other file, fetches and loads nothing, and takes one expression, not a
statement (https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING

from icfqueue.catalog import series_file
from icfqueue.catalog.series_file import COLUMNS, quoted
from icfqueue.core.errors import UnsafePath, UsageError
from icfqueue.core.plain_text import shown
from icfqueue.core.visit import Visit, check_id, is_id
from icfqueue.store.directory import Store

if TYPE_CHECKING:
    import duckdb

OTHER_NAMES = {
    "series_number": "SeriesNumber",
    "series_description": "SeriesDescription",
    "protocol": "ProtocolName",
    "mr_acquisition_type": "MRAcquisitionType",
    "pulse_sequence_name": "PulseSequenceName",
}
"""What columns are called by ``icfqueue series``; an expression may use both."""

MOST_WORDS = 160
"""Characters of DuckDB's complaint that are shown."""

_AT_ONCE = 200
"""Tables that are open at a time: a process may open 1,024 files."""


@dataclass(frozen=True, slots=True)
class Found:
    """A visit with series that the expression is true of: how many, images and bytes."""

    visit: Visit
    series: int
    images: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Search:
    """The visits that were found, by project and id, and the projects that were not asked.

    Attributes
    ----------
    without
        Projects with a catalog but without a usable table of series.
    closed
        Projects that this user may not read.
    """

    found: list[Found] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def search(store: Store, expression: str, project: str | None = None) -> Search:
    """Return the visits with a series of which `expression` is true.

    Parameters
    ----------
    expression
        As behind ``WHERE``, over the columns of the tables.
    project
        Look at no other one.

    Raises
    ------
    UsageError
        The expression is none, or there is no such project.
    """
    if project is not None and not store.is_folder(
        store.project_dir(check_id(project, "project"))
    ):
        raise UsageError(
            f"{store.project_dir(project)} is not there",
            hint="look at the project's name and at --store-dir",
        )
    projects = [project] if project else [one for one in store.projects() if is_id(one)]
    told = Search()
    _check(expression)
    for some in _batches(projects):
        with ExitStack() as opened:
            tables = dict(_tables(store, some, told, opened))
            if tables:
                told.found.extend(_ask(tables, expression))
    return told


def _batches(projects: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(projects), _AT_ONCE):
        yield projects[start : start + _AT_ONCE]


def _tables(
    store: Store, projects: Sequence[str], told: Search, opened: ExitStack
) -> Iterator[tuple[str, FileIO]]:
    """Yield the projects' tables; what cannot be used is noted in `told`."""
    import duckdb

    duck = opened.enter_context(series_file.connect())
    for project in projects:
        try:
            file = opened.enter_context(
                store.open_read(series_file.path_of(store, project))
            )
            duck.execute(f"{_select(project, file)} LIMIT 0")
        except (PermissionError, UnsafePath):
            told.closed.append(project)
        except (OSError, duckdb.Error):
            if store.listing(store.catalog_dir(project)):
                told.without.append(project)
        else:
            yield project, file


def _path(file: FileIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _select(project: str, file: FileIO) -> str:
    """Return the query for all rows of a table; whose they are its folder says."""
    names = ", ".join(name for name in COLUMNS if name != "project")
    others = ", ".join(f"{name} AS {other}" for other, name in OTHER_NAMES.items())
    return (
        f"SELECT {quoted(project)} AS project, {names}, {others} "  # noqa: S608 - names of ours, a checked id
        f"FROM read_parquet({quoted(_path(file))})"
    )


def _check(expression: str) -> None:
    """Raise unless `expression` is one over the columns, whether or not there are rows."""
    columns = COLUMNS | {other: COLUMNS[name] for other, name in OTHER_NAMES.items()}
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
    _answer([f"SELECT {nothing} LIMIT 0"], [], expression)


def _ask(tables: dict[str, FileIO], expression: str) -> Iterator[Found]:
    selects = [_select(project, file) for project, file in tables.items()]
    paths = [_path(file) for file in tables.values()]
    for project, name, series, images, size in _answer(selects, paths, expression):
        # These words become commands.
        if visit := Visit.named(project, name):
            yield Found(visit, series, int(images), int(size))


def _answer(
    selects: Sequence[str], paths: Sequence[str], expression: str
) -> list[tuple[str, str, int, int, int]]:
    import duckdb

    with series_file.connect(threads=os.cpu_count() or 1) as duck:
        duck.execute(f"SET allowed_paths = [{', '.join(map(quoted, paths))}]")
        duck.execute("SET enable_external_access = false")
        duck.execute("SET lock_configuration = true")
        try:
            return _chosen(duck.sql(" UNION ALL ".join(selects)), expression).fetchall()
        except duckdb.Error as error:
            raise UsageError(
                f"the expression cannot be used: {_words(error)}",
                hint="it is what stands behind WHERE in SQL, over the columns "
                f"{', '.join(COLUMNS)}",
            ) from error


def _chosen(rows: duckdb.DuckDBPyRelation, expression: str) -> duckdb.DuckDBPyRelation:
    return (
        rows.filter(expression)
        .aggregate("project, visit, count(*), sum(images), sum(bytes)")
        .order("project, visit")
    )


def _words(error: Exception) -> str:
    """Return the first paragraph of DuckDB's complaint, without the kind of it."""
    said = str(error).split("\n\n")[0].partition(": ")
    return shown(said[2] or said[0], MOST_WORDS)
