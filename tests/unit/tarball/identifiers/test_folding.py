"""Texts made alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.tarball.identifiers.folding import fold, folds, weight, words_of


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("Müller-Lüdenscheidt", ["muller ludenscheidt", "mueller luedenscheidt"]),
        ("STRAẞE", ["strasse"]),
        ("Straße", ["strasse"]),
        ("Sørensen", ["sorensen", "soerensen"]),
        ("Łódź_T1", ["lodz t1"]),
        ("İbrahim YILDIZ", ["ibrahim yildiz"]),
        ("ΝΊΚΟΣ", ["νικοσ"]),
        ("Ёлкин", ["елкин"]),
        ("ｼﾞｭﾝ", ["しゆん", "しゅん"]),
        ("فَاطِمَة", ["فاطمة"]),
        ("a.b-c,d e", ["a b c d e"]),
        ("a/b\nc", ["a/b\nc"]),
    ],
)
def test_case_accents_and_separators_go(text: str, ways: list[str]) -> None:
    found = folds(text)
    assert set(found) <= set(ways)
    assert found[0] in ways
    assert folds(unicodedata.normalize("NFD", text)) == found


@given(text=st.text())
def test_what_is_alike_stays_as_it_is(text: str) -> None:
    for umlauts in (False, True):
        once = fold(text, umlauts=umlauts)
        assert fold(once, umlauts=umlauts) == once
        assert once.count("/") >= text.count("/")
        assert once.count("\n") == text.count("\n")


@given(text=st.text(st.characters(max_codepoint=127)))
def test_the_quick_way_for_ascii_is_the_same_as_the_other(text: str) -> None:
    other = fold(f"{text}é", umlauts=False)
    assert fold(text, umlauts=False) == other[:-1]


def test_some_scripts_say_more_with_a_letter() -> None:
    assert weight("anna") == 4
    assert weight("太郎") > weight("じゅ") > weight("ян")
    assert words_of(fold("Van den Berg/x", umlauts=False)) == ["van", "den", "berg", "x"]
