"""Rows as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from icfqueue.cli import rows
from icfqueue.cli.display.fitting import Column

HEADS = (
    Column("visit"),
    Column("images", 50, right=True),
    Column("description", prose=True),
)
LINES = [("v1", "9", "T1w " * 20), ("visit_10", "100", "x\n\x1b[31m")]


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_columns_stand_under_each_other_and_a_row_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows.print_table(HEADS, LINES)
    head, first, second = printed(capsys)
    assert head == "visit     images  description"
    assert first == "v1             9  " + ("T1w " * 20).strip()
    assert second == "visit_10     100  x \\x1b[31m"


def test_at_a_terminal_prose_has_lines_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    rows.print_table(HEADS, LINES)
    assert printed(capsys)[:4] == [
        "visit     images  description",
        "v1             9  " + "T1w " * 9 + "T1w",
        " " * 18 + "T1w " * 9 + "T1w",
        "visit_10     100  x \\x1b[31m",
    ]


def test_csv_holds_no_formula_and_json_what_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [{"visit": "v1", "description": "=1+1"}, {"visit": "v2", "description": None}]
    rows.print_csv(["visit", "description"], found)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["visit", "description"],
        ["v1", "'=1+1"],
        ["v2", ""],
    ]
    rows.print_json(found)
    assert json.loads(capsys.readouterr().out) == found
    rows.print_json([])
    assert json.loads(capsys.readouterr().out) == []
