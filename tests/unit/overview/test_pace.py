"""What a step takes, for each visit and for each byte."""

from __future__ import annotations

import pytest

from icfqueue.overview.pace import MIB, Pace


def test_what_a_byte_takes_is_not_told_by_sizes_that_hardly_differ() -> None:
    pace = Pace(None, 0.1)
    for size, seconds in ((100, 0.1), (101, 0.2), (99, 0.1), (100, 0.2)):
        pace.add(size * MIB, seconds)
    each, slope = pace.line()
    assert each + slope * 6000 * MIB == pytest.approx(0.15, abs=2.0)


def test_sizes_that_differ_tell_both() -> None:
    pace = Pace(MIB, 0.1)
    for size in (100, 200, 400):
        pace.add(size * MIB, 3.0 + size / 50)
    each, slope = pace.line()
    assert each == pytest.approx(3.0, abs=0.3)
    assert slope * MIB == pytest.approx(1 / 50, rel=0.1)
