"""The table of a study's series, ``<project>/series.parquet``.

One row a series, of all visits in the catalog, for programs that search or count:
``icfqueue find``, ``series`` and ``report``, and whatever else reads Apache Parquet. It
is written by DuckDB, in one thread and in one order: the same series give the same bytes
with the same release of DuckDB, whether they came in batches or at once.

It lies beside the catalog, not in it: it has paths of images, which no page shows, and a
catalog may be copied to where more people can read it.

A row is written before the page of its visit. A page that is there therefore says that
its rows are, too, and to add one visit nobody's metadata are read but its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from icfqueue.catalog.summary import Series, Value
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.reading import StoreReader

if TYPE_CHECKING:
    import duckdb

NAME = "series.parquet"
"""In the folder of the project."""

COLUMNS = {
    "project": "VARCHAR",
    "visit": "VARCHAR",
    "SeriesNumber": "BIGINT",
    "SeriesDescription": "VARCHAR",
    "ProtocolName": "VARCHAR",
    "Modality": "VARCHAR",
    "MRAcquisitionType": "VARCHAR",
    "PulseSequenceName": "VARCHAR",
    "images": "BIGINT",
    "bytes": "BIGINT",
    "first_path": "VARCHAR",
}
"""Columns of the file and their types in SQL; DICOM's own names for what is DICOM's."""

MEMORY = "1GB"
"""Of a worker, at most; a study of 100,000 visits needs a quarter of it."""

_CHUNK = 5_000
"""Rows that are handed over at once."""

_MOST = 2**63 - 1
"""Largest BIGINT."""

_ORDER = (
    "visit, SeriesNumber NULLS LAST, SeriesDescription, ProtocolName, Modality, "
    "first_path, images, bytes"
)


class Damaged(Exception):
    """The file is not what it must be, or does not have all visits of the catalog."""


class SeriesRow(NamedTuple):
    """One series of one visit.

    Attributes
    ----------
    number
        SeriesNumber (0020,0011); None if it is absent or no whole number.
    description, protocol, modality, acquisition, sequence
        SeriesDescription, ProtocolName, Modality, MRAcquisitionType, PulseSequenceName;
        empty if absent. The last two are those of its first image.
    images, bytes
        How many files, and their sizes together.
    first_path
        Path in the tarball of the first of its files.
    """

    project: str
    visit: str
    number: int | None
    description: str
    protocol: str
    modality: str
    acquisition: str
    sequence: str
    images: int
    bytes: int
    first_path: str


def path_of(store: StoreReader, project: str) -> Path:
    """Return where the table of `project` lies."""
    return store.project_dir(project) / NAME


def rows_of(visit: Visit, series: Iterable[Series]) -> list[SeriesRow]:
    """Return the rows of a visit."""
    found = []
    for one in series:
        number, description, protocol, modality = one.tags
        found.append(
            SeriesRow(
                visit.project,
                visit.id,
                _number(number),
                _text(description),
                _text(protocol),
                _text(modality),
                _text(one.acquisition),
                _text(one.sequence),
                one.images,
                one.bytes,
                _text(one.first_path),
            )
        )
    return found


def rows_of_page(visit: Visit, page: Any) -> list[SeriesRow]:
    """Return what a visit's page, as it is published, says of its series.

    For a visit whose metadata were removed; a page has no more than its first thousand.
    """
    try:
        table = page["additional_display"][0]["content"]["rows"]
        series = [Series(tuple(tags), images, size) for *tags, images, size in table]
        return rows_of(visit, series)
    except (KeyError, IndexError, TypeError, ValueError):
        return []  # that of an early release, which listed no series


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) and abs(value) <= _MOST else None


def _text(value: Value) -> str:
    """Return `value` as text that UTF-8 can write: JSON allows half a surrogate pair."""
    return str(value).encode("utf-8", "replace").decode("utf-8").replace("\0", "")


class Writer:
    """Writes the table; a context manager, at whose end the file is whole.

    Parameters
    ----------
    target
        In a scratch folder.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._rows: list[SeriesRow] = []

    def __enter__(self) -> Self:
        self._duck = connect()
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self._duck.execute(f"CREATE TABLE found ({columns})")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._hand_over()
                self._duck.execute(
                    f"COPY (SELECT * FROM found ORDER BY {_ORDER}) "  # noqa: S608 - no word of it from outside
                    f"TO {quoted(str(self._target))} (FORMAT parquet, COMPRESSION zstd)"
                )
        finally:
            self._duck.close()

    def add(self, rows: Iterable[SeriesRow]) -> None:
        """Add rows."""
        self._rows += rows
        if len(self._rows) >= _CHUNK:
            self._hand_over()

    def take(
        self, old: FileIO, visits: Collection[str], *, others: bool = False
    ) -> set[str]:
        """Add the rows of `visits` from an older file; return the visits that have some.

        Parameters
        ----------
        others
            Those of all other visits instead.

        Raises
        ------
        Damaged
            The older file cannot be read.
        """
        import duckdb

        source = "read_parquet($1)"
        which = "NOT IN" if others else "IN"
        chosen = f"FROM {source} WHERE visit {which} (SELECT unnest($2::VARCHAR[]))"
        names = ", ".join(COLUMNS)
        given = [f"/proc/self/fd/{old.fileno()}", list(visits)]
        try:
            self._duck.execute(f"INSERT INTO found SELECT {names} {chosen}", given)
            found = self._duck.execute(f"SELECT DISTINCT visit {chosen}", given)
            return {visit for (visit,) in found.fetchall()}
        except duckdb.Error as error:
            raise Damaged(type(error).__name__) from error

    def _hand_over(self) -> None:
        if not self._rows:
            return
        kinds = enumerate(COLUMNS.values(), 1)
        values = ", ".join(f"unnest(${place}::{kind}[])" for place, kind in kinds)
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        self._duck.execute(f"INSERT INTO found SELECT {values}", columns)
        self._rows.clear()


def write_extended(
    scratch: Path,
    store: Store,
    project: str,
    rows: Mapping[str, Sequence[SeriesRow]],
    listed: Collection[str],
) -> tuple[Path, Path]:
    """Write the table of `project` with other rows for some visits.

    Parameters
    ----------
    scratch
        A folder for unfinished parts of the catalog.
    rows
        By visit id.
    listed
        Visits that the table must have, or have got by `rows`.

    Returns
    -------
    tuple
        The new file and where it belongs.

    Raises
    ------
    Damaged
        The present table cannot be read, or lacks visits, as after a release that knew
        no such table.
    """
    new, target = scratch / NAME, path_of(store, project)
    try:
        old = store.open_read(target)
    except FileNotFoundError:
        raise Damaged("it is missing") from None
    with old, Writer(new) as table:
        there = table.take(old, rows.keys(), others=True)
        if not set(listed) - rows.keys() <= there:
            raise Damaged("visits are missing")
        for of_visit in rows.values():
            table.add(of_visit)
    return new, target


def take_present(
    table: Writer, store: Store, project: str, visits: Collection[str]
) -> set[str]:
    """Add the rows of `visits` that the present table has; return the visits with some."""
    with suppress(FileNotFoundError, Damaged):
        if visits:
            with store.open_read(path_of(store, project)) as old:
                return table.take(old, visits)
    return set()


def read(store: Store, project: str) -> Iterator[SeriesRow] | None:
    """Return the rows of the table, by visit and number; None if it cannot be used."""
    import duckdb

    try:
        file = store.open_read(path_of(store, project))
    except (FileNotFoundError, NotADirectoryError):
        return None
    with file, connect() as duck:
        try:
            found = duck.execute(
                f"SELECT {', '.join(COLUMNS)} FROM read_parquet($1)",  # noqa: S608 - names of ours
                [f"/proc/self/fd/{file.fileno()}"],
            ).fetchall()
        except duckdb.Error:
            return None
    # Whose project it is the folder says.
    return (SeriesRow(project, *row[1:]) for row in found)


def connect(threads: int = 1, **more: Any) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB of this process that keeps, loads and asks for nothing elsewhere.

    Parameters
    ----------
    threads
        With one there is one order of the rows.
    more
        Further settings of DuckDB.
    """
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": MEMORY,
            # Nothing is spilt into the current folder, no extension is fetched.
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            **more,
        },
    )


def quoted(text: str) -> str:
    """Return `text` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"
