"""Sentences that fit, and commands in them that can be pasted."""

from __future__ import annotations

import io

import pytest

from icfqueue.cli.shell.folding import (
    USUAL,
    cells,
    folded,
    lines_for,
    say,
    width_of_terminal,
)


class Tty(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two  three", ["one two", "three"]),
        ("see 'icfqueue retry a b'; then", ["see", "'icfqueue retry a b';", "then"]),
        ("run (`mv a b && mv c d`).", ["run", "(`mv a b && mv c d`)."]),
        ("the visits' own 'x y' it's", ["the", "visits'", "own 'x y'", "it's"]),
        ("icfqueue retry a b --cause cut", ["icfqueue retry a b --cause cut"]),
        ("again: mkdir -p a && rm b", ["again:", "mkdir -p a && rm b"]),
        ("v" * 30 + " w", ["v" * 30, "w"]),
        ("档案结束于成员内部", ["档案结束于", "成员内部"]),
        ("sub-0001-0002/档案结束", ["sub-0001-0002/", "档案结束"]),
    ],
)
def test_words_and_commands_stay_whole(text: str, lines: list[str]) -> None:
    """Signs of a writing without blanks do not."""
    assert folded(text, 10) == lines


def test_a_chinese_sign_takes_two_columns() -> None:
    assert cells("a档") == 3


def test_only_at_a_terminal_are_there_more_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    assert lines_for("one two three", Tty(), 2) == "  one two\n  three"
    assert lines_for("one two three", io.StringIO(), 2) == "  one two three"
    assert lines_for("one\n  two", Tty()) == "one\n  two"


@pytest.mark.parametrize(
    ("given", "width"), [("", USUAL), ("x", USUAL), ("0", USUAL), ("99", 99)]
)
def test_a_terminal_that_does_not_say_its_width_has_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, given: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", given)
    assert width_of_terminal(Tty()) == width
    assert width_of_terminal(io.StringIO()) is None


def test_what_comes_from_outside_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J", 2, err=True, colour="red")
    assert capsys.readouterr() == ("", "  a\\x1b[2J\n")
