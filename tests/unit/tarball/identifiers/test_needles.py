"""The forms of a value that are looked for."""

from __future__ import annotations

import pytest

from icfqueue.core.visit import Visit
from icfqueue.tarball.identifiers.needles import (
    Own,
    needles,
    of_date,
    of_id,
    of_name,
    standing_alone,
)

OWN = Own(Visit("study_1", "sub-01_ses-2"))


def test_a_name_is_looked_for_in_parts_and_as_a_whole_in_both_orders() -> None:
    texts = {needle.text for needle in of_name("mueller\nhans")}
    assert texts == {
        *("mueller", "hans", "muellerhans", "mueller hans", "hansmueller"),
        *("hans mueller", "hmueller", "h mueller", "muellerh", "mueller h"),
    }


@pytest.mark.parametrize("value", ["1962", "00000000", "19621301", "unknown", "", "x" * 99])
def test_what_is_no_date_has_no_forms(value: str) -> None:
    assert not list(of_date(value))


def test_a_date_has_forms_with_and_without_the_century() -> None:
    texts = {needle.text for needle in of_date("1962.08.07")}
    assert {"19620807", "1962 08 07", "07081962", "620807", "07 08 62", "7 8 1962"} <= texts
    assert {"7aug1962", "07 aug 1962", "1962/08/07"} <= texts
    assert "62" not in texts
    assert "1962" not in texts


def test_two_digits_thrice_are_a_date_only_with_a_zero() -> None:
    """For ``10.11.12`` counts something."""
    assert not {n.text for n in of_date("20101112")} & {"10 11 12", "12 11 10"}


@pytest.mark.parametrize("value", ["", "abc", "1234", "0001234", "1111111", "aaaaaa", "--"])
def test_an_id_that_says_too_little_has_no_forms(value: str) -> None:
    assert not list(of_id(value))


def test_what_is_part_of_the_visits_ids_is_not_looked_for() -> None:
    for text in ("sub 01", "sub01", "sub 01 ses 2", "sub01ses2", "study 1 sub 01 ses 2"):
        assert OWN.has(text), text
    for text in ("sub 02", "ub01", "sub011"):
        assert not OWN.has(text), text
    found = needles([("id", "sub-01"), ("name", "Head"), ("id", "sub-02")], OWN)
    assert {needle.text for needle in found} == {"sub 02", "sub02"}


def test_what_two_values_share_is_of_the_first_kind() -> None:
    found = needles([("accession", "AB12345"), ("id", "AB12345")], OWN)
    assert set(found.values()) == {"id"}


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("anna", "x anna1", True),
        ("anna", "hanna", False),
        ("12345", "x0012345y", True),
        ("12345", "9012345", False),
        ("12345", "123456", False),
        ("ab1", "1ab1", True),
    ],
)
def test_standing_alone_is_no_letter_or_digit_of_its_kind_beside(
    text: str, where: str, found: bool
) -> None:
    assert bool(standing_alone(text).search(where)) is found
