"""Rows of equal fields as a table, CSV or JSON; fast, for there may be 100,000."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from icfqueue.cli.display.fitting import Column, Layout, Piece
from icfqueue.cli.shell.colours import colours
from icfqueue.cli.shell.folding import width_of_terminal
from icfqueue.core.plain_text import escaped

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which a spreadsheet takes a cell for a formula."""


def print_csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Print `rows` as CSV, with a line of the names."""
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: harmless(row[name]) for name in names} for row in rows)


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print `rows` as an array of JSON, one a line."""
    before = "["
    for row in rows:
        sys.stdout.write(f"{before}\n{json.dumps(row)}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print lines under each other that fit the terminal."""
    texts = [[_cell(text) for text in row] for row in rows]
    layout = Layout(columns, texts, width_of_terminal(sys.stdout))
    for line in layout.heads():
        click.secho(_line(line), bold=True, nl=False, color=colours())
    for row in texts:
        sys.stdout.writelines(map(_line, layout.lines(row)))


def harmless(value: Any) -> Any:
    """Return what a spreadsheet may be shown: text that it takes for text.

    The apostrophe is what spreadsheets themselves write before such a text.
    """
    if not isinstance(value, str):
        return value
    text = escaped(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(pieces: Sequence[Piece]) -> str:
    return "".join(words for words, _ in pieces) + "\n"


def _cell(text: str) -> str:
    # A line is a line, whatever a description has in it.
    return escaped(" ".join(text.split()))
