"""Rows as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys

import pytest

from icfqueue.cli import rows

HEADS = ("visit", "description", "images")
LINES = [("v1", "T1w" * 20, "9"), ("visit_10", "x\n\x1b[31m", "100")]


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_columns_stand_under_each_other_and_a_row_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows.print_table(HEADS, LINES, right="images", cut="description")
    head, first, second = printed(capsys)
    assert head.index("images") + 6 == len(first) == len(second)
    assert first.startswith("v1        T1wT1w")
    assert "x \\x1b[31m" in second


def test_one_column_is_cut_where_the_terminal_is_narrow_and_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    size = os.terminal_size((40, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: size)
    rows.print_table(HEADS, LINES, right="images", cut="description")
    lines = printed(capsys)
    assert max(map(len, lines)) == 40
    assert "…" in lines[1]
    assert lines[2].startswith("visit_10")


def test_columns_that_matter_less_are_left_out_before_any_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    size = os.terminal_size((72, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: size)
    weights = {"images": 50}
    rows.print_table(HEADS, LINES, right="images", cut="description", importance=weights)
    assert printed(capsys)[:2] == ["visit     description", "v1        " + "T1w" * 20]


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
