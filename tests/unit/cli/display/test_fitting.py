"""Which columns fit: the least important goes first, what is needed stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.cli.display.fitting import ALWAYS, fitting, width_of


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
