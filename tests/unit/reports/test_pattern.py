"""The usual pattern of a project, found from its visits."""

from __future__ import annotations

import pytest

from benchmarks import planted
from icfqueue.catalog.series_file import SeriesRow
from icfqueue.core.errors import UsageError
from icfqueue.reports.pattern import (
    NAMELESS,
    Expected,
    Scan,
    Slot,
    find_pattern,
    matched,
    moved,
    order_of,
    pattern_like,
    scans_of,
)


def row(
    visit: str, number: int | None, description: str, modality: str = "MR"
) -> SeriesRow:
    return SeriesRow(
        "p", visit, number, description, "protocol", modality, "", "", 3, 9, "a"
    )


def scans(*series: tuple[str, int]) -> list[Scan]:
    return [Scan(name, place, images) for place, (name, images) in enumerate(series, 1)]


USUAL = (("loc", 3), ("T1w", 192), ("bold", 300))


def test_a_protocol_is_called_by_its_description_and_by_a_modality_if_need_be() -> None:
    one = scans_of([row("v1", 1, "T1w"), row("v2", None, "")])
    assert one == {"v1": [Scan("T1w", 1, 3)], "v2": [Scan("protocol", None, 3)]}
    two = scans_of([row("v1", 1, "scout"), row("v2", 1, "scout", "CT")])
    assert [found[0].protocol for found in two.values()] == ["scout [MR]", "scout [CT]"]
    nameless = row("v1", 1, "")._replace(protocol="")
    assert scans_of([nameless])["v1"][0].protocol == NAMELESS


def test_what_more_than_half_have_is_usual_and_in_the_order_of_most() -> None:
    visits = {f"v{n}": scans(*USUAL) for n in range(6)}
    visits["short"] = scans(("loc", 3), ("T1w", 20), ("bold", 300))
    visits["odd"] = scans(("bold", 300), ("loc", 3), ("phantom", 7))
    found = find_pattern(visits)
    assert list(found.expected) == ["loc", "T1w", "bold"]
    assert found.expected["T1w"] == Expected((192,), (192,), 7)
    assert [slot.protocol for slot in found.order] == ["loc", "T1w", "bold"]
    assert (found.sometimes, found.visits) == ({}, 8)


def test_where_the_number_of_images_varies_half_of_the_median_is_the_least() -> None:
    visits = {f"v{n}": scans(("task", 180 + n)) for n in range(21)}
    assert find_pattern(visits).expected["task"] == Expected((None,), (95,), 21)


def test_one_name_may_usually_stand_for_two_series() -> None:
    visits = {f"v{n}": scans(("fmap", 72), ("fmap", 36)) for n in range(3)}
    visits["v9"] = scans(("fmap", 72))
    found = find_pattern(visits)
    assert found.expected["fmap"] == Expected((72, 36), (72, 36), 4)
    assert list(found.order) == [Slot("fmap", 0), Slot("fmap", 1)]


def test_what_a_third_have_is_had_sometimes_and_what_one_has_is_not() -> None:
    visits = {f"v{n}": scans(*USUAL, *([("asl", 9)] * (n < 4))) for n in range(12)}
    visits["odd"] = scans(*USUAL, ("odd", 9))
    assert find_pattern(visits).sometimes == {"asl": 4}
    # Of three visits one is a third.
    few = {"v1": scans(*USUAL), "v2": scans(*USUAL), "v3": scans(*USUAL, ("odd", 1))}
    assert find_pattern(few).sometimes == {}


def test_there_may_be_no_usual_order() -> None:
    orders = ("abc", "bca", "cab", "acb", "bac", "cba")
    visits = {name: scans(*((letter, 1) for letter in name)) for name in orders}
    assert find_pattern(visits).order == ()


def test_one_visit_can_be_the_pattern() -> None:
    visits = {"v1": scans(*USUAL), "v2": scans(("loc", 5)), "v3": scans(("loc", 5))}
    found = pattern_like(visits, "v1")
    assert list(found.expected) == ["loc", "T1w", "bold"]
    assert (found.like, found.visits) == ("v1", 3)
    with pytest.raises(UsageError, match="nothing is known") as caught:
        pattern_like(visits, "v9")
    assert "--like" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        pattern_like(visits, "v01")
    assert caught.value.hint.startswith("did you mean v1? ")


def test_series_of_one_name_are_told_apart_by_what_fits_best() -> None:
    expected = Expected((72, 36), (72, 36), 9)
    first, second = scans(("fmap", 36), ("fmap", 72))
    assert matched([first, second], expected) == [(first, 1), (second, 0)]
    assert matched([first], expected) == [(first, 1)]
    again = scans(("T1w", 40), ("T1w", 192))
    assert matched(again, Expected((192,), (192,), 9)) == [(again[1], 0)]
    # Of very many the last are taken: there would be too many ways.
    many = scans(*[("x", 1)] * 60)
    assert [scan for scan, _ in matched(many, Expected((2, 3), (2, 3), 9))] == many[-2:]


def test_the_order_leaves_out_what_cannot_be_told_apart_or_has_no_number() -> None:
    usual = {name: Expected((images,), (images,), 9) for name, images in USUAL}
    found = scans(("loc", 3), ("loc", 3), ("bold", 300), ("T1w", 192))
    assert [slot.protocol for _, slot in order_of(found, usual)] == ["bold", "T1w"]
    assert order_of([Scan("T1w", None, 192)], usual) == []


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [("abcd", ""), ("acd", ""), ("bacd", "b"), ("dabc", "d"), ("bcda", "a"), ("", "")],
)
def test_as_few_as_possible_are_called_moved(sequence: str, expected: str) -> None:
    order = [Slot(letter, 0) for letter in "abcd"]
    found = moved([Slot(letter, 0) for letter in sequence], order)
    assert len(found) == len(expected)
    if len(expected) == 1 and sequence != "bacd":
        assert found == [Slot(expected, 0)]


def test_planted_faults_do_not_become_the_pattern() -> None:
    """Two in five visits have a fault; what is found is what was planned."""
    rows, _ = planted.make(200, 0.4)
    found = find_pattern(scans_of(rows))
    assert list(found.expected) == list(dict.fromkeys(n for n, _ in planted.PROTOCOLS))
    assert found.expected["gre_field_mapping"].images == (72, 36)
    assert list(found.sometimes) == ["asl"]
