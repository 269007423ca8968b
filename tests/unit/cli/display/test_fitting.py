"""Which columns fit: the least important goes first, what is needed stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from icfqueue.cli.display.fitting import (
    ALWAYS,
    Column,
    Layout,
    fitting,
    width_of,
)


@pytest.mark.parametrize(
    ("room", "places"),
    [(20, [0, 1, 2]), (19, [0, 2]), (12, [0, 2]), (11, [0]), (0, [0])],
)
def test_the_least_important_goes_first(room: int, places: list[int]) -> None:
    assert fitting([5, 6, 5], [ALWAYS, 10, 20], room) == places


def test_of_two_equal_ones_the_last_goes_and_one_that_is_empty_always() -> None:
    assert fitting([5, 6, 5], [ALWAYS, 10, 10], 13) == [0, 1]
    assert fitting([5, 0, 5], [ALWAYS, 90, 10], 100) == [0, 2]
    assert fitting([], [], 10) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, ALWAYS)), max_size=9))
def test_a_line_fits_or_has_what_is_needed_alone(columns: list[tuple[int, int]]) -> None:
    widths = [width for width, _ in columns]
    importance = [weight for _, weight in columns]
    chosen = fitting(widths, importance, 60)
    fits = width_of([widths[place] for place in chosen]) <= 60
    assert fits or all(importance[place] == ALWAYS for place in chosen)
    needed = {place for place, weight in enumerate(importance) if weight == ALWAYS}
    assert {place for place in needed if widths[place]} <= set(chosen)


def shown(columns: list[Column], rows: list[list[str]], room: int | None) -> list[str]:
    layout = Layout(columns, rows, room)
    lines = [*layout.heads(), *(line for row in rows for line in layout.lines(row))]
    return ["".join(words for words, _ in line) for line in lines]


def test_an_id_that_is_longer_than_the_others_stands_alone() -> None:
    """And its row goes on below their heads; the table is made for the others."""
    columns = [Column("visit"), Column("state"), Column("size", 50, right=True)]
    rows = [["v1", "done", "1 kB"], ["v" * 18, "failed", "10 kB"], ["v2", "done", ""]]
    assert shown(columns, rows, 20) == [
        "visit  state    size",
        "v1     done     1 kB",
        "v" * 18,
        "       failed  10 kB",
        "v2     done",
    ]


def test_prose_goes_on_below_its_head_or_below_the_row() -> None:
    columns = [Column("visit"), Column("why", prose=True)]
    words = "the tarball was touched since it was indexed"
    assert shown(columns, [["v1", words]], 40) == [
        "visit  why",
        "v1     the tarball was touched since it",
        "       was indexed",
    ]
    assert shown(columns, [["v" * 20, words]], 40) == [
        "visit",
        "v" * 20,
        "  the tarball was touched since it was",
        "  indexed",
    ]
    assert shown(columns, [["v1", "w" * 39]], 40) == ["visit  why", "v1", "  " + "w" * 39]
    assert shown(columns, [["v1", words]], None)[1] == f"v1     {words}"


def test_a_command_without_room_stands_whole_below_its_row() -> None:
    columns = [Column("visit"), Column("size", 9), Column("command", paste=True)]
    row = ["v1", "1 kB", "icfqueue clone study_1 v1"]
    assert shown(columns, [row], 36) == [
        "visit  command",
        "v1     icfqueue clone study_1 v1",
    ]
    assert shown(columns, [row], 20) == ["visit  size", "v1     1 kB", f"  {row[2]}"]


IDS = st.text("ab-1", min_size=1, max_size=70)
WORDS = st.lists(st.text("ab档é", min_size=1, max_size=20), max_size=12).map(" ".join)


@given(st.lists(st.tuples(IDS, IDS, WORDS), min_size=1, max_size=6), st.integers(60, 120))
def test_no_line_is_too_long_but_for_an_id_alone_and_nothing_needed_is_lost(
    rows: list[tuple[str, str, str]], room: int
) -> None:
    columns = [Column("visit"), Column("host"), Column("x", 5), Column("why", prose=True)]
    texts = [[first, second, second, why] for first, second, why in rows]
    lines = shown(columns, texts, room)
    assert all(cell_len(line) <= room or " " not in line.strip() for line in lines)
    assert all(line == line.rstrip() for line in lines)
    said = "".join("".join(lines).split())
    for first, second, why in rows:
        assert any(first in line for line in lines)
        assert any(second in line for line in lines)
        assert "".join(why.split()) in said
