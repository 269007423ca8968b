"""Sizes and times in words."""

from __future__ import annotations

import pytest

from icfqueue.cli.display.amounts import amount, duration


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, ""), (0, "0 bytes"), (1, "1 byte"), (40_960, "41.0 kB"), (1.2e9, "1.2 GB")],
)
def test_sizes_have_the_units_that_disks_are_sold_by(size: int | None, words: str) -> None:
    assert amount(None if size is None else int(size)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (93600, "1 d 02 h"),
    ],
)
def test_times_have_the_two_largest_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
