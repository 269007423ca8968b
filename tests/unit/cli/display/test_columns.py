"""Tables that fit: what is left out where there is not room, and what never is."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from icfqueue.cli.display.columns import Columns
from icfqueue.cli.display.fitting import Column


def a_table(below_lines: int | None = None) -> Columns:
    columns = [Column("visit"), Column("size", 50, right=True), Column("worker", 20)]
    made = Columns(columns, below_lines)
    made.add("sub-0001", "41.0 kB", "host:1", below=[Text("cut: " + "word " * 40)])
    made.add("sub-02", "1.2 GB", "host:22")
    return made


def lines(table: Columns, width: int, *, terminal: bool = True) -> list[str]:
    where = io.StringIO()
    console = Console(file=where, width=width, force_terminal=terminal, color_system=None)
    console.print(table, crop=False)
    return where.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (300, ["visit", "size", "worker"]),
        (26, ["visit", "size", "worker"]),
        (25, ["visit", "size"]),
        (17, ["visit", "size"]),
        (16, ["visit"]),
        (1, ["visit"]),
    ],
)
def test_the_least_important_column_is_left_out_first(width: int, heads: list[str]) -> None:
    """And none is made narrower, or wider."""
    assert a_table().heads(width) == heads
    assert lines(a_table(), width)[0].split() == heads


def test_numbers_end_under_each_other_and_no_line_has_blanks_at_its_end() -> None:
    found = lines(a_table(), 80, terminal=False)
    assert found[0] == "visit        size  worker"
    assert found[1] == "sub-0001  41.0 kB  host:1"
    assert found[3] == "sub-02     1.2 GB  host:22"


def test_an_error_has_lines_of_its_own_as_many_as_it_takes() -> None:
    found = lines(a_table(), 40)[2:-1]
    assert " ".join(line.strip() for line in found) == ("cut: " + "word " * 40).strip()
    assert max(map(len, found)) <= 40


def test_where_there_is_not_room_an_error_ends_with_a_sign() -> None:
    _, _, first, second, other = lines(a_table(below_lines=2), 40)
    assert first == "  cut: word word word word word word"
    assert second.endswith("…")
    assert other.startswith("sub-02")
    assert max(len(first), len(second)) <= 40


def test_for_programs_an_error_is_one_line_however_long() -> None:
    found = lines(a_table(), 40, terminal=False)[2]
    assert found == "  " + ("cut: " + "word " * 40).strip()


def test_an_id_is_whole_even_where_it_is_longer_than_the_terminal() -> None:
    made = a_table()
    made.add("v" * 200, "1 byte", "host:1")
    assert "v" * 200 in lines(made, 60)


def test_a_column_without_anything_is_not_shown() -> None:
    made = a_table()
    made.rows = made.rows[:1]
    made.rows[0].cells[1] = ("", "")
    assert made.heads(300) == ["visit", "worker"]


def test_a_line_is_a_line_whatever_a_cell_has_in_it() -> None:
    made = Columns([Column("visit"), Column("worker", 1)])
    made.add("v\n1\x1b[2J", "[red]x\ty")
    assert lines(made, 80)[1:] == [r"v 1\x1b[2J  [red]x y"]


def test_as_many_cells_as_columns() -> None:
    with pytest.raises(ValueError, match="1 cells for 3"):
        a_table().add("v")


@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.lists(st.text(max_size=20)).map(" ".join)),
        max_size=5,
    ),
    st.integers(60, 300),
)
def test_no_line_is_longer_than_the_terminal(
    rows: list[tuple[str, str]], width: int
) -> None:
    """Wide signs, as in Chinese, take two columns. A longer word would be whole."""
    made = Columns([Column("visit"), Column("worker", 5), Column("host", 1)])
    for number, (name, words) in enumerate(rows):
        made.add(f"sub-{number}", name, words, below=[words])
    for line in lines(made, width):
        assert cell_len(line) <= width


def test_a_command_below_a_line_stays_whole_unless_the_screen_changes() -> None:
    """A line's end in it would be pasted, and so would the ellipsis."""
    command = "`icfqueue forget study_1 v --store-dir '/a/store/with/a/long/name'`"
    made = Columns([Column("visit")])
    made.add("v", below=[command])
    assert lines(made, 40)[-1] == f"  {command}"
    made.below_lines = 1
    assert len(lines(made, 40)[-1]) <= 40
