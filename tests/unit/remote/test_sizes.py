"""Sizes from a store: read if they are some, and bounded."""

from __future__ import annotations

import pytest

from icfqueue.ledger.stored.record_json import MOST
from icfqueue.remote.sizes import DIGITS, range_of, size_of, told_size

LARGEST = "9" * DIGITS


def test_a_size_is_read() -> None:
    assert [size_of(text) for text in ("0", "007", LARGEST)] == [0, 7, int(LARGEST)]


def test_the_largest_size_fits_into_a_record() -> None:
    assert int(LARGEST) < MOST


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.0", "1_0", "1 ", "1\n", "1, 1", "0x1", "\u0661", "1" + LARGEST],
)
def test_what_is_no_size_is_none(text: str) -> None:
    assert size_of(text) is None
    assert range_of(f"bytes 0-1/{text}") is None
    assert range_of(f"bytes {text}-1/1") is None


def test_a_part_is_read() -> None:
    assert range_of(f"bytes 5-9/{LARGEST}") == (5, 9, int(LARGEST))
    assert range_of("bytes 5-9/*") is None


def test_a_store_that_tells_nothing_may_do_so() -> None:
    assert told_size(None, "http://x") is None
