"""The table of a study's series: what it says, and that it says it whatever came first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from support.metadata import write_metadata

from icfqueue.catalog import series_file, study
from icfqueue.catalog.series_file import COLUMNS, Damaged, SeriesRow, Writer
from icfqueue.catalog.summary import Series
from icfqueue.core.errors import StepError
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

PROJECT, URL = "study_1", "https://data.example.org"


@pytest.fixture
def project(store: Store) -> Path:
    folder = store.project_dir(PROJECT)
    folder.mkdir()
    return folder


def row(visit: str, number: int, **more: object) -> SeriesRow:
    made = SeriesRow(PROJECT, visit, number, "T1w", "t1", "MR", "3D", "", 10, 99, "a/1.dcm")
    return made._replace(**more)  # type: ignore[arg-type]  # the tests' own words


def written(target: Path, rows: Sequence[SeriesRow]) -> bytes:
    with Writer(target) as table:
        for one in rows:
            table.add([one])
    return target.read_bytes()


def add(store: Store, *names: str) -> None:
    visits = [Visit(PROJECT, name) for name in names]
    results = study.add_visits(store, PROJECT, visits, URL, Settings(store_dir=store.root))
    assert not [one for one in results.values() if isinstance(one, StepError)]


def test_rows_have_what_the_series_of_a_visit_have() -> None:
    series = [
        Series((2, "T1w", "t1", "MR"), 3, 30, "a/1.dcm", "3D", "tfl"),
        # What BIGINT and UTF-8 do not hold.
        Series(("2\\3", "half \ud800 pair\0", "", ""), 1, 1),
        Series((2**63, "", "", ""), 1, 1),
    ]
    first, odd, large = series_file.rows_of(Visit(PROJECT, "v1"), series)
    assert first == (
        PROJECT, "v1", 2, "T1w", "t1", "MR", "3D", "tfl", 3, 30, "a/1.dcm"
    )  # fmt: skip
    assert (odd.number, odd.description) == (None, "half ? pair")
    assert large.number is None


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows = [row(f"v{n % 7}", n % 3, first_path=f"{n}.dcm") for n in range(50)]
    assert written(tmp_path / "one", rows) == written(tmp_path / "two", rows[::-1])


def test_any_program_that_reads_parquet_reads_it(tmp_path: Path) -> None:
    """By the names and types that the documentation has; here DuckDB itself."""
    odd = row("v2", 3, description='it\'s; "quoted"\nΔ', images=0)
    written(tmp_path / "a'b.parquet", [odd, row("v1", 2)])
    with duckdb.connect() as other:
        found = other.read_parquet(str(tmp_path / "a'b.parquet"))
        assert found.columns == list(COLUMNS)
        assert [str(kind) for kind in found.types] == list(COLUMNS.values())
        assert found.fetchall() == [row("v1", 2), odd]


def test_rows_of_some_visits_are_taken_over_or_those_of_all_others(tmp_path: Path) -> None:
    written(tmp_path / "old", [row("v1", 1), row("v2", 1), row("v3", 1)])
    for others, kept in ((False, {"v2"}), (True, {"v1", "v3"})):
        with (
            (tmp_path / "old").open("rb", buffering=0) as old,
            Writer(tmp_path / "new") as table,
        ):
            assert table.take(old, ["v2"], others=others) == kept
        with duckdb.connect() as other:
            found = other.read_parquet(str(tmp_path / "new")).fetchall()
        assert {one[1] for one in found} == kept


def test_visits_that_come_one_by_one_leave_what_all_at_once_leave(
    store: Store, project: Path
) -> None:
    for number, name in enumerate(("b", "a", "c")):
        write_metadata(store, Visit(PROJECT, name), dicoms=number, ProtocolName=name)
        add(store, name)
    grown = (project / series_file.NAME).read_bytes()
    study.rebuild(store, PROJECT, URL, Settings(store_dir=store.root))
    assert (project / series_file.NAME).read_bytes() == grown
    # A visit without images has no series.
    assert [one.visit for one in series_file.read(store, PROJECT) or []] == ["a", "c"]


@pytest.mark.usefixtures("project")
def test_a_visit_that_is_replaced_has_its_new_rows_alone(store: Store) -> None:
    for name in ("v1", "v2"):
        write_metadata(store, Visit(PROJECT, name))
    add(store, "v1", "v2")
    write_metadata(store, Visit(PROJECT, "v1"), dicoms=5, SeriesDescription="new")
    add(store, "v1")
    found = list(series_file.read(store, PROJECT) or [])
    assert [(one.visit, one.description, one.images) for one in found] == [
        ("v1", "new", 5),
        ("v2", "", 2),
    ]


def test_nobody_reads_the_metadata_of_a_visit_that_is_listed(
    store: Store, project: Path
) -> None:
    for name in ("v1", "v2"):
        write_metadata(store, Visit(PROJECT, name))
    add(store, "v1")
    # Whoever read it would say so.
    (project / "v1_metadata_dicoms.json").write_text("damaged")
    add(store, "v2")
    assert [one.visit for one in series_file.read(store, PROJECT) or []] == ["v1", "v2"]


@pytest.mark.parametrize("damage", ["gone", "cut", "of an older release"])
def test_a_table_that_cannot_be_used_is_made_anew_with_the_next_visit(
    store: Store, project: Path, damage: str
) -> None:
    for name in ("v1", "v2"):
        write_metadata(store, Visit(PROJECT, name))
    add(store, "v1")
    table = project / series_file.NAME
    if damage == "gone":
        table.unlink()
    elif damage == "cut":
        table.write_bytes(table.read_bytes()[:-20])
    else:
        written(table, [])
    add(store, "v2")
    assert [one.visit for one in series_file.read(store, PROJECT) or []] == ["v1", "v2"]


@pytest.mark.parametrize("table_is_there", [True, False])
def test_a_visit_without_metadata_keeps_its_rows_or_gets_those_of_its_page(
    store: Store, project: Path, *, table_is_there: bool
) -> None:
    """As ``--remove-metadata`` leaves it; a page does not say where images lie."""
    visit = Visit(PROJECT, "v1")
    write_metadata(store, visit)
    add(store, "v1")
    (before,) = series_file.read(store, PROJECT) or []
    for name in (visit.metadata_dicoms, visit.metadata_tarball):
        (project / name).unlink()
    (project / visit.refs).touch()
    if not table_is_there:
        (project / series_file.NAME).unlink()
    study.rebuild(store, PROJECT, URL, Settings(store_dir=store.root))
    (after,) = series_file.read(store, PROJECT) or []
    assert after == (before if table_is_there else before._replace(first_path=""))


def test_a_table_that_is_not_there_or_damaged_is_none(store: Store, project: Path) -> None:
    assert series_file.read(store, PROJECT) is None
    (project / series_file.NAME).write_bytes(b"PAR1 but no more")
    assert series_file.read(store, PROJECT) is None
    with pytest.raises(Damaged):
        series_file.write_extended(project, store, PROJECT, {"v": []}, [])


def test_duckdb_fetches_and_loads_nothing_from_elsewhere() -> None:
    with series_file.connect() as duck:
        wanted = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "temp_directory": "",
            "threads": "1",
        }
        found = duck.execute("SELECT name, value FROM duckdb_settings()").fetchall()
        assert wanted.items() <= dict(found).items()
