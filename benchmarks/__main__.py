"""``python -m benchmarks``: measure, print a table, write ``results.json``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.measure import PATIENCE, Row
from benchmarks.scale import Scale

GROUPS = (
    *("startup", "index", "export", "queue", "catalog", "superdataset", "project"),
    "streams",
)
"""Modules with a function ``rows(scale)``, in the order in which they run."""

RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Run what was asked for.

    Returns
    -------
    int
        1 if something could not be measured; 0 even where a target is missed, for this
        is no test.
    """
    asked = _arguments()
    scale = Scale(quick=asked.quick, full=asked.full, repeat=asked.repeat)
    os.environ[PATIENCE] = str(asked.patience)
    console = Console(width=None if sys.stdout.isatty() else 170)
    found: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    shown: list[Row] = []
    began = time.monotonic()
    for group in asked.only or GROUPS:
        console.print(f"[dim]{group} …[/dim]")
        found[group] = []
        here = machine.describe()
        try:
            for row in importlib.import_module(f"benchmarks.{group}").rows(scale):
                console.print(f"  {row.case}: {row.figure_text}", highlight=False)
                found[group].append(row.to_json())
                shown.append(row)
                write(asked.output, group, found[group], here, scale)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            # A side failed or did not end; the other groups are worth having.
            failed.append(group)
            console.print(f"  [red]{group} ends here:[/red] {type(error).__name__} {error}")
    minutes = (time.monotonic() - began) / 60
    console.print(table(shown))
    console.print(f"{minutes:.1f} minutes; written to {asked.output}")
    return int(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="rough, in two minutes")
    size.add_argument("--full", action="store_true", help="100,000 visits and the like")
    parser.add_argument("--repeat", type=int, default=5, help="runs of short cases")
    parser.add_argument(
        "--patience",
        type=float,
        default=2.0,
        help="longest wait for a quiet machine before each run, in seconds",
    )
    parser.add_argument(
        "--output", type=Path, help="default: results.json, or results-quick.json"
    )
    asked = parser.parse_args()
    if asked.output is None:
        # Rough figures must not take the place of good ones.
        asked.output = RESULTS.with_stem("results-quick") if asked.quick else RESULTS
    return asked


def table(rows: list[Row]) -> Table:
    """Return the table for people."""
    shown = Table("case", "ours", "reference", "", "figure", "target", "peak MB", "")
    for row in rows:
        mark = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[row.met]
        peak = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        shown.add_row(
            row.case,
            _number(row.ours, row.unit),
            _number(row.reference, row.unit),
            row.against,
            row.figure_text,
            row.target,
            peak,
            mark,
        )
    return shown


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.3f} {unit}" if value < 10 else f"{value:.1f} {unit}"


def write(
    path: Path,
    group: str,
    rows: list[dict[str, Any]],
    here: dict[str, Any],
    scale: Scale,
) -> None:
    """Write the results; groups that were not run keep what an earlier run found."""
    before = json.loads(path.read_text()) if path.exists() else {}
    about = {**here, "quick": scale.quick, "full": scale.full}
    groups = before.get("groups", {}) | {group: {"machine": about, "rows": rows}}
    ordered = {name: groups[name] for name in GROUPS if groups.get(name)}
    path.write_text(json.dumps({"groups": ordered}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
