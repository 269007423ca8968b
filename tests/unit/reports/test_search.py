"""The search over all projects: what is found, and what an expression must not do."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from icfqueue.catalog.series_file import COLUMNS, SeriesRow, Writer
from icfqueue.core.errors import IcfqueueError, UsageError
from icfqueue.core.visit import Visit
from icfqueue.reports import search as module
from icfqueue.reports.search import Found, Search, search
from icfqueue.store.directory import Store


def write(store: Store, project: str, *rows: tuple[str, str, int]) -> Path:
    """Write a table with one series for each (visit, protocol, images)."""
    folder = store.project_dir(project)
    folder.mkdir(exist_ok=True)
    with Writer(folder / "series.parquet") as table:
        for visit, protocol, images in rows:
            table.add(
                [SeriesRow("?", visit, 1, "d", protocol, "MR", "", "", images, 7, "a/1")]
            )
    return folder / "series.parquet"


@pytest.fixture
def store(store: Store) -> Store:
    write(store, "a", ("v1", "T1w", 192), ("v1", "t1w", 176), ("v2", "T1w", 20))
    write(store, "b", ("v1", "t1w_mpr", 176), ("v2", "bold", 900))
    return store


OPEN = Path("/proc/self/fd")

T1W = "ProtocolName ILIKE '%t1w%' AND images > 100"


def test_visits_of_all_projects_are_found_with_what_fits_summed_up(store: Store) -> None:
    found = [Found(Visit("a", "v1"), 2, 368, 14), Found(Visit("b", "v1"), 1, 176, 7)]
    assert search(store, T1W) == Search(found)
    assert search(store, T1W, "b") == Search(found[1:])
    assert search(store, "images > 5000") == Search()


def test_columns_may_be_called_as_other_commands_call_them(store: Store) -> None:
    wanted = "PROTOCOL = 'bold' AND series_number = 1 AND project = 'b'"
    assert [found.visit for found in search(store, wanted).found] == [Visit("b", "v2")]


def test_whose_visits_they_are_the_folder_says_and_names_become_no_commands(
    store: Store,
) -> None:
    """Who may write in one project must not speak for another, nor in a shell."""
    write(store, "c", ("v1; rm -rf ~", "x", 1), ("../v2", "x", 1), ("v3", "x", 1))
    found = search(store, "ProtocolName = 'x'").found
    assert [one.visit for one in found] == [Visit("c", "v3")]


def test_a_project_whose_table_is_missing_or_damaged_is_named(store: Store) -> None:
    for name in ("old", "cut"):
        (store.project_dir(name) / "catalog" / "metadata").mkdir(parents=True)
    (store.project_dir("cut") / "series.parquet").write_bytes(b"PAR1 ... PAR1")
    store.project_dir("nothing_done").mkdir()
    told = search(store, T1W)
    assert told.without == ["cut", "old"]
    assert len(told.found) == 2


def test_a_table_that_may_not_be_read_is_named(store: Store, tmp_path: Path) -> None:
    outside = write(store, "b", ("v1", "t1w", 500)).rename(tmp_path / "elsewhere")
    (store.project_dir("b") / "series.parquet").symlink_to(outside)
    told = search(store, T1W)
    assert told.closed == ["b"]
    assert [found.visit.project for found in told.found] == ["a"]


def test_more_projects_than_a_process_may_have_open_files(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    for number in range(5):
        write(store, f"c{number}", ("v1", "t1w", 101))
    # What tests before this one left may be closed at any time.
    gc.collect()
    before = len(list(OPEN.iterdir()))
    assert len(search(store, T1W).found) == 7
    assert len(list(OPEN.iterdir())) <= before


NO_FILES = "may not read files"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("image > 1", "no column image"),
        ("images >", "understood"),
        ("", "empty"),
        ("images > 1; DROP TABLE x", "one condition"),
        ("images > 1; ATTACH 'x.db'", "one condition"),
        ("1=1) UNION SELECT (1", "understood"),
        ("true) TO 'x.csv'", "understood"),
        ("EXISTS (COPY (SELECT 1) TO 'x.csv')", "understood"),
        ("count(*) > 1", "by itself"),
        ("EXISTS (FROM read_text('/etc/passwd'))", NO_FILES),
        ("EXISTS (FROM read_blob('/proc/self/environ'))", NO_FILES),
        ("EXISTS (FROM read_parquet('/proc/self/fd/0'))", NO_FILES),
        ("EXISTS (FROM sniff_csv('/etc/passwd'))", NO_FILES),
        ("EXISTS (FROM parquet_metadata('/etc/passwd'))", NO_FILES),
        ("EXISTS (FROM glob('/*'))", NO_FILES),
        ("EXISTS (FROM read_csv('https://x.example.org/a'))", NO_FILES),
        ("EXISTS (FROM 'https://x.example.org/a.csv')", NO_FILES),
        ("EXISTS (FROM enable_logging())", NO_FILES),
        ("EXISTS (FROM '/etc/passwd')", "no table"),
        ("EXISTS (FROM query('ATTACH ''x.db'''))", ""),
        ("EXISTS (FROM query('COPY (SELECT 1) TO ''x.csv'''))", ""),
        ("EXISTS (FROM query('INSTALL httpfs'))", ""),
        ("EXISTS (FROM query('SET enable_external_access=true'))", ""),
    ],
)
def test_what_is_no_expression_or_reads_elsewhere_is_refused_with_the_columns(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expression: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="cannot be used") as caught:
        search(store, expression)
    assert said in caught.value.message
    assert all(name in caught.value.hint for name in COLUMNS)
    assert sorted(tmp_path.iterdir()) == before


def test_a_search_without_end_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", 0.2)
    endless = "(SELECT count(*) FROM range(1000000000) a, range(1000000000) b) > images"
    before = set(threading.enumerate())
    with pytest.raises(IcfqueueError, match=r"given up after 0\.2 seconds"):
        search(store, endless)
    # It is stopped, too, where it can be.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_table_that_is_damaged_in_its_middle_is_named_and_others_are_searched(
    store: Store,
) -> None:
    """Its end, which says what it holds, is whole: that is read first."""
    table = store.project_dir("b") / "series.parquet"
    content = bytearray(table.read_bytes())
    content[4:200] = bytes(one ^ 0x55 for one in content[4:200])
    table.write_bytes(content)
    told = search(store, T1W)
    assert told.without == ["b"]
    assert [found.visit.project for found in told.found] == ["a"]


def test_an_expression_is_checked_where_there_is_nothing_to_search(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        search(Store(tmp_path), "image > 1")
    with pytest.raises(UsageError, match="is not there"):
        search(Store(tmp_path), T1W, "study_9")
