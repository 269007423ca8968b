"""Consoles with and without colours, lines to paste."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.text import Text

from icfqueue.cli.display import terminal
from icfqueue.cli.display.terminal import Line, cell, console, show, to_paste
from icfqueue.ledger.record import State


def test_every_state_has_a_colour() -> None:
    assert set(terminal.COLOURS) == set(State)


class Tty(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown_at(where: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", where)
    show(console(), cell("x" * 100, "red"))
    return where.getvalue()


def test_colours_are_for_terminals_and_not_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in shown_at(Tty(), monkeypatch)
    assert shown_at(io.StringIO(), monkeypatch) == "x" * 100 + "\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown_at(Tty(), monkeypatch)


def test_a_console_may_be_that_of_errors(capsys: pytest.CaptureFixture[str]) -> None:
    show(console(stderr=True), Text("said"))
    assert capsys.readouterr() == ("", "said\n")


def at_20_columns(line: Line) -> list[str]:
    where = io.StringIO()
    show(Console(file=where, width=20, force_terminal=True, color_system=None), line)
    return where.getvalue().splitlines()


def test_words_are_broken_with_a_margin_and_what_may_be_pasted_is_not() -> None:
    words = "see 'icfqueue retry study_1', or what is said of it"
    assert at_20_columns(Line(cell(words), 2)) == [
        "  see",
        "  'icfqueue retry study_1',",
        "  or what is said of",
        "  it",
    ]
    assert at_20_columns(to_paste(words, 2)) == [f"  {words}"]


def test_a_line_keeps_its_style() -> None:
    where = io.StringIO()
    at = Console(file=where, width=20, force_terminal=True, color_system="standard")
    show(at, Line(cell("x", "red")), to_paste("y", style="red"))
    assert where.getvalue().count("\x1b[31m") == 2
