"""Rows of equal fields as a table, CSV or JSON; fast, for there may be 100,000."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from icfqueue.cli.display.fitting import ALWAYS, GAP, fitting, width_of
from icfqueue.core.plain_text import escaped

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which a spreadsheet takes a cell for a formula."""

WIDE = 240
"""Characters of a line where the output is no terminal."""

LEAST = 8
"""Characters that a column is never made narrower than."""


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


def print_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: str = "",
    cut: str = "",
    importance: Mapping[str, int] | None = None,
) -> None:
    """Print lines under each other, columns two blanks apart.

    Parameters
    ----------
    right
        Heads of the columns of numbers, with blanks between.
    cut
        Head of the column that is cut when the terminal is too narrow, and no other
        column is left that may be left out.
    importance
        Of columns that may be left out, by head: the lowest goes first.
    """
    lines = [list(heads), *([_cell(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    weights = [(importance or {}).get(head, ALWAYS) for head in heads]
    chosen = fitting(widths, weights, room)
    place = heads.index(cut) if cut else None
    if place is not None:
        over = max(0, width_of([widths[one] for one in chosen]) - room)
        widths[place] = max(min(LEAST, widths[place]), widths[place] - over)
    numbers = right.split()
    for line in lines:
        if place is not None and len(line[place]) > widths[place]:
            line[place] = line[place][: widths[place] - 1] + "…"
        cells = (
            line[one].rjust(widths[one])
            if heads[one] in numbers
            else line[one].ljust(widths[one])
            for one in chosen
        )
        sys.stdout.write((" " * GAP).join(cells).rstrip() + "\n")


def harmless(value: Any) -> Any:
    """Return what a spreadsheet may be shown: text that it takes for text.

    The apostrophe is what spreadsheets themselves write before such a text.
    """
    if not isinstance(value, str):
        return value
    text = escaped(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _cell(text: str) -> str:
    # A line is a line, whatever a description has in it.
    return escaped(" ".join(text.split()))
