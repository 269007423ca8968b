"""What was meant by the name of a visit that has no dataset."""

from __future__ import annotations

import pytest

from icfqueue.client.misspelt import guess


@pytest.mark.parametrize(
    ("visit", "is_word", "hint"),
    [
        ("godo", True, "did you mean good?"),
        ("good", True, "its tarball is there, but its dataset was not made yet"),
        (
            "mine",
            True,
            (
                "the store lists 1 visits of p, none called so; if mine is to be the "
                "folder, write ./mine"
            ),
        ),
        ("mine", False, "the store lists 1 visits of p, none called so"),
    ],
)
def test_a_near_name_is_told_and_else_what_there_is(
    visit: str, is_word: bool, hint: str
) -> None:
    assert guess("p", visit, ["good"], is_word=is_word) == hint
