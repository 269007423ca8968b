"""Search of all projects' series by an expression in SQL.

The expression is the user's own; what stands in the tables is not. DuckDB may read the
tables and no other file, fetches and loads nothing, and takes one expression, not a
statement (https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import FileIO
from threading import Thread
from typing import TYPE_CHECKING

from icfqueue.catalog import series_file
from icfqueue.catalog.series_file import COLUMNS, quoted
from icfqueue.core.errors import IcfqueueError, UnsafePath
from icfqueue.core.visit import Visit, check_id, is_id
from icfqueue.reports.expression import OTHER_NAMES, check_words, complaint
from icfqueue.store.directory import Store
from icfqueue.store.near_misses import check_folder

if TYPE_CHECKING:
    import duckdb

LONGEST = 60.0
"""Seconds after which a search is given up: that of 100,000 visits takes one."""

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
    IcfqueueError
        It took longer than :data:`LONGEST`.
    """
    if project is not None:
        check_id(project, "project")
        check_folder(store, project)
    check_words(expression)
    projects = [project] if project else [one for one in store.projects() if is_id(one)]
    asked = _Question(expression)
    return _in_time(asked, lambda: _search(store, projects, asked))


@dataclass(frozen=True, slots=True)
class _Question:
    """An expression, and the connections that work on it, so that they can be stopped."""

    expression: str
    running: list[duckdb.DuckDBPyConnection] = field(default_factory=list)


def _in_time(asked: _Question, work: Callable[[], Search]) -> Search:
    """Return what `work` finds, or give it up.

    It works in a thread that is left behind: DuckDB looks up only between two steps, and
    the text of gigabytes that a single function makes is one.
    """
    import duckdb

    outcome: Future[Search] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
            outcome.set_exception(error)

    Thread(target=run, name="search", daemon=True).start()
    try:
        return outcome.result(LONGEST)
    except TimeoutError:
        if outcome.done():
            raise
        raise IcfqueueError(
            f"the search was given up after {LONGEST:g} seconds",
            hint="ask with a simpler expression, or of one project with --project",
        ) from None
    finally:
        for duck in tuple(asked.running):
            with suppress(duckdb.Error):
                duck.interrupt()


def _search(store: Store, projects: Sequence[str], asked: _Question) -> Search:
    told = Search()
    _check(asked)
    for some in _batches(projects):
        with ExitStack() as opened:
            tables = dict(_tables(store, some, told, opened))
            if tables:
                told.found.extend(_ask(tables, asked, told))
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


def _check(asked: _Question) -> None:
    """Raise unless it is an expression over the columns, whether or not there are rows."""
    import duckdb

    columns = COLUMNS | {other: COLUMNS[name] for other, name in OTHER_NAMES.items()}
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
    try:
        _answer([f"SELECT {nothing} LIMIT 0"], [], asked)
    except duckdb.Error as error:
        raise complaint(error) from error


def _ask(tables: dict[str, FileIO], asked: _Question, told: Search) -> Iterator[Found]:
    """Yield what the tables have; those that turn out to be damaged are noted."""
    import duckdb

    try:
        answer = _answer_of(tables, asked)
    except duckdb.Error as error:
        whole = {project: file for project, file in tables.items() if _is_whole(file)}
        if len(whole) == len(tables):
            raise complaint(error) from error
        told.without.extend(tables.keys() - whole.keys())
        told.without.sort()
        if whole:
            yield from _ask(whole, asked, told)
        return
    for project, name, series, images, size in answer:
        # These words become commands.
        if visit := Visit.named(project, name):
            yield Found(visit, series, int(images), int(size))


def _is_whole(file: FileIO) -> bool:
    """Return whether every value of a table can be read."""
    import duckdb

    with series_file.connect() as duck:
        try:
            # Each value is asked for its length: a count alone reads none.
            lengths = ", ".join(f"sum(length({name}::VARCHAR))" for name in COLUMNS)
            duck.execute(
                f"SELECT {lengths} FROM read_parquet({quoted(_path(file))})"  # noqa: S608 - names of ours
            )
        except duckdb.Error:
            return False
    return True


_Answer = list[tuple[str, str, int, int, int]]


def _answer_of(tables: dict[str, FileIO], asked: _Question) -> _Answer:
    selects = [_select(project, file) for project, file in tables.items()]
    return _answer(selects, [_path(file) for file in tables.values()], asked)


def _answer(selects: Sequence[str], paths: Sequence[str], asked: _Question) -> _Answer:
    with series_file.connect(threads=os.cpu_count() or 1) as duck:
        asked.running.append(duck)
        duck.execute(f"SET allowed_paths = [{', '.join(map(quoted, paths))}]")
        duck.execute("SET enable_external_access = false")
        duck.execute("SET lock_configuration = true")
        rows = duck.sql(" UNION ALL ".join(selects))
        found: _Answer = _chosen(rows, asked.expression).fetchall()
        return found


def _chosen(rows: duckdb.DuckDBPyRelation, expression: str) -> duckdb.DuckDBPyRelation:
    return (
        rows.filter(expression)
        .aggregate("project, visit, count(*), sum(images), sum(bytes)")
        .order("project, visit")
    )
