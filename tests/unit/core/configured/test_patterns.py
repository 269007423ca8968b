"""A site's own expressions: those that could take hours are refused, no other is slow."""

from __future__ import annotations

import pytest

from icfqueue.core import settings
from icfqueue.core.configured.patterns import LONGEST, MOST, Patterns, fault_of
from icfqueue.core.errors import UsageError


def test_any_of_the_expressions_finds() -> None:
    found = Patterns([r"P\d{3}", "^abc$"]).found_in(["xP123", "abc", "abcd", "ü", ""])
    assert found == {0, 1}


@pytest.mark.parametrize(
    ("patterns", "what"),
    [
        (["ok", "(unclosed"], "expression 2 is none of RE2"),
        ([r"(a)\1"], "expression 1 is none of RE2"),
        ([r"(?=secret)x"], "expression 1 is none of RE2"),
        ([""], "expression 1 must have 1 to"),
        (["x" * (LONGEST + 1)], "expression 1 must have 1 to"),
        (["x"] * (MOST + 1), "not have more than"),
        (["a*"], "is found in every text"),
        (["((a{1000}){1000}){1000}x"], "none of RE2"),
    ],
)
def test_what_cannot_be_used_is_said_without_showing_it(
    patterns: list[str], what: str
) -> None:
    fault = fault_of(patterns)
    assert what in fault
    assert "secret" not in fault
    with pytest.raises(UsageError, match="setting identifier_patterns"):
        settings.load(identifier_patterns=patterns)


def test_what_would_take_python_hours_takes_no_time() -> None:
    """Forty letters would take Python's own engine some days; the test would time out."""
    assert not fault_of(["(a+)+$x?b"])
    assert Patterns(["(a+)+b$"]).found_in(["a" * 5000 + "c"]) == set()


def test_in_the_environment_they_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICFQUEUE_IDENTIFIER_PATTERNS", r'["P\\d+", "Q"]')
    assert settings.load().identifier_patterns == [r"P\d+", "Q"]
    monkeypatch.setenv("ICFQUEUE_IDENTIFIER_PATTERNS", "P")
    with pytest.raises(UsageError, match="ICFQUEUE_IDENTIFIER_PATTERNS is no JSON"):
        settings.load()
