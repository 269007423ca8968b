"""How a visit differs from the usual pattern, and how many planted faults are found."""

from __future__ import annotations

import pytest

from benchmarks import planted
from icfqueue.reports.differences import Difference, Kind, differences_of
from icfqueue.reports.pattern import Scan, find_pattern

USUAL = (("loc", 3), ("fmap", 72), ("fmap", 36), ("T1w", 192), ("bold", 300))


def scans(*series: tuple[str, int]) -> list[Scan]:
    return [Scan(name, place, images) for place, (name, images) in enumerate(series, 1)]


VISITS = {f"v{n}": scans(*USUAL, *([("asl", 9)] * (n < 4))) for n in range(12)}
PATTERN = find_pattern(VISITS)

LOC, FMAP, FMAP_2, T1W, BOLD = USUAL


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (USUAL, []),
        # What some visits have is no difference.
        ((*USUAL, ("asl", 9)), []),
        # Nor are more images than usual.
        ((LOC, FMAP, FMAP_2, T1W, ("bold", 301)), []),
        ((LOC, FMAP, FMAP_2, BOLD), [(Kind.MISSING, "T1w", (), "missing")]),
        ((LOC, FMAP_2, T1W, BOLD), [(Kind.MISSING, "fmap", (), "1 of 2 missing")]),
        ((LOC, T1W, BOLD), [(Kind.MISSING, "fmap", (), "all 2 missing")]),
        (
            (LOC, FMAP, FMAP_2, ("T1w", 80), BOLD),
            [(Kind.SHORT, "T1w", (4,), "80 images instead of 192")],
        ),
        # Made again because the first was stopped: doubled, and not short.
        (
            (LOC, FMAP, FMAP_2, ("T1w", 80), T1W, BOLD),
            [(Kind.DOUBLED, "T1w", (4, 5), "2 series instead of 1, 80 + 192 images")],
        ),
        (
            (LOC, ("x", 5), ("x", 6), FMAP, FMAP_2, T1W, BOLD),
            [(Kind.UNEXPECTED, "x", (2, 3), "2 series, 5 + 6 images")],
        ),
        (
            (LOC, T1W, FMAP, FMAP_2, BOLD),
            [(Kind.ORDER, "T1w", (2,), "made after loc")],
        ),
        ((BOLD, LOC, FMAP, FMAP_2, T1W), [(Kind.ORDER, "bold", (1,), "made first of all")]),
        # The two of one name are exchanged, and not short.
        ((LOC, FMAP_2, FMAP, T1W, BOLD), [(Kind.ORDER, "fmap", (3,), "made after fmap")]),
    ],
)
def test_each_kind_of_difference_is_told_once(
    series: tuple[tuple[str, int], ...],
    expected: list[tuple[Kind, str, tuple[int, ...], str]],
) -> None:
    found = differences_of(scans(*series), PATTERN)
    assert found == [Difference(*one) for one in expected]


def test_where_images_vary_less_than_half_is_short() -> None:
    visits = {f"v{n}": scans(("task", 180 + n)) for n in range(21)}
    pattern = find_pattern(visits)
    assert differences_of(scans(("task", 95)), pattern) == []
    (found,) = differences_of(scans(("task", 94)), pattern)
    assert (found.kind, found.words) == (Kind.SHORT, "94 images instead of at least 95")


def test_series_without_numbers_are_compared_but_for_their_order() -> None:
    bare = [Scan(name, None, images) for name, images in reversed(USUAL)]
    assert differences_of(bare, PATTERN) == []


@pytest.mark.parametrize("rate", planted.RATES)
def test_planted_faults_are_found_and_nothing_else(rate: float) -> None:
    rows, truth = planted.make(300, rate, seed=3)
    judged = planted.judge(truth, planted.found_in(rows))
    assert sum(count for _, _, count in judged.values()) > 300 * rate * 0.8
    for kind, (precision, recall, _) in judged.items():
        assert precision == 1.0, kind
        # What varies may be short unnoticed; two faults of one visit may hide each other.
        assert recall >= (0.9 if kind in {Kind.SHORT, Kind.ORDER} else 1.0), kind
