"""Units in words, consoles with and without colours, lines to paste."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.text import Text

from icfqueue.cli.display import terminal
from icfqueue.cli.display.terminal import (
    Line,
    amount,
    cell,
    console,
    duration,
    show,
    to_paste,
)
from icfqueue.ledger.record import State


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, ""), (0, "0 bytes"), (1, "1 byte"), (40_960, "41.0 kB"), (1.2e9, "1.2 GB")],
)
def test_sizes_have_the_units_that_disks_are_sold_by(size: int | None, words: str) -> None:
    assert amount(None if size is None else int(size)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (93600, "1 d 02 h"),
    ],
)
def test_times_have_the_two_largest_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


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
    words = "icfqueue retry study_1 --cause cut"
    assert at_20_columns(Line(cell(words), 2)) == [
        "  icfqueue retry",
        "  study_1 --cause",
        "  cut",
    ]
    assert at_20_columns(to_paste(words, 2)) == [f"  {words}"]


def test_a_line_keeps_its_style() -> None:
    where = io.StringIO()
    at = Console(file=where, width=20, force_terminal=True, color_system="standard")
    show(at, Line(cell("x", "red")), to_paste("y", style="red"))
    assert where.getvalue().count("\x1b[31m") == 2
