"""Projects whose visits differ in known ways, and how many of the ways are found.

``python -m benchmarks.planted`` prints precision and recall of ``icfqueue report``;
``python -m benchmarks.planted STORE VISITS`` leaves such a project in a store directory,
with records of its visits in the embedded broker; with ``--projects N`` the visits are in
as many projects, without records, for ``icfqueue find``.

The visits are like those of a study with a scanner's usual mess: a task whose length
varies, field maps of one name made twice, a scan that a third of the visits have, and
derived series with large numbers. Faults are planted at random.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from icfqueue.catalog.series_file import NAME, SeriesRow, Writer
from icfqueue.reports.differences import Kind, differences_of
from icfqueue.reports.pattern import find_pattern, scans_of

PROTOCOLS: tuple[tuple[str, int], ...] = (
    ("localizer", 3),
    ("AAHead_Scout", 128),
    ("T1w_MPRAGE", 192),
    ("gre_field_mapping", 72),
    ("gre_field_mapping", 36),
    ("bold_rest", 300),
    ("bold_task", 0),
    ("dwi_AP", 99),
    ("dwi_PA", 6),
    ("T2w_SPACE", 176),
    ("FLAIR", 60),
    ("swi_mag", 80),
    ("swi_pha", 80),
)
"""Description and images of what a visit has, in order; 0: as long as the task takes."""

TASK = (180, 260)
SOMETIMES = ("asl", 90, 0.33)
"""Had by this share of the visits, at the end."""

RATES = (0.05, 0.2, 0.4)
"""Shares of the visits that get a fault; one in four of these gets a second one."""

ODD = ("localizer_repeat", "phantom", "test_scan", "B1map", "T1w_old", "spectro")

Truth = set[tuple[str, Kind, str]]
"""Visit, kind, protocol; the protocol of another order is not told, for in an exchange
of two either of them may be called the one that moved."""


def make(
    visits: int, rate: float, seed: int = 1, project: str = "planted"
) -> tuple[list[SeriesRow], Truth]:
    """Return the series of a project, and the faults in them."""
    dice = random.Random(seed)
    rows: list[SeriesRow] = []
    truth: Truth = set()
    for number in range(visits):
        visit = f"visit_{number:05d}"
        series = [[name, count or dice.randint(*TASK)] for name, count in PROTOCOLS]
        if dice.random() < SOMETIMES[2]:
            series.append([SOMETIMES[0], SOMETIMES[1]])
        if dice.random() < rate:
            kinds = dice.sample(list(Kind), 2 if dice.random() < 1 / 4 else 1)
            for kind in sorted(kinds, key=list(Kind).index, reverse=True):
                _plant(kind, series, dice, visit, truth)
        for place, (name, images) in enumerate(series, 1):
            path = f"{visit}/MR{place}/{dice.randint(1, 9999)}.dcm"
            size = images * 300_000
            rows.append(
                SeriesRow(
                    project, visit, place, name, name, "MR", "3D", "", images, size, path
                )
            )
    return rows, truth


def _plant(
    kind: Kind, series: list[list[Any]], dice: random.Random, visit: str, truth: Truth
) -> None:
    """Put a fault of `kind` into the series of a visit, where no other one is yet."""
    spoilt = {protocol for of, _, protocol in truth if of == visit}
    free = [n for n, (name, _) in enumerate(series) if name not in spoilt | {SOMETIMES[0]}]
    place = dice.choice(free)
    name, images = series[place]
    if kind == Kind.MISSING:
        del series[place]
    elif kind == Kind.SHORT:
        place = dice.choice([n for n in free if series[n][1] > 3])
        name, images = series[place]
        series[place][1] = max(1, int(images * dice.uniform(0.05, 0.9)))
    elif kind == Kind.DOUBLED:
        # Made again, often because the first was stopped.
        first = images if dice.random() < 1 / 2 else max(1, images // 3)
        series[place][1] = first
        series.insert(dice.randint(place + 1, len(series)), [name, images])
    elif kind == Kind.UNEXPECTED:
        name = dice.choice(ODD)
        series.insert(dice.randint(0, len(series)), [name, dice.randint(1, 200)])
    else:
        others = [n for n in free if abs(n - place) > 1 and series[n][0] != name]
        series.insert(dice.choice(others), series.pop(place))
        name = ""
    truth.add((visit, kind, name))


def found_in(rows: Iterable[SeriesRow]) -> Truth:
    """Return what the report finds."""
    visits = scans_of(rows)
    pattern = find_pattern(visits)
    return {
        (visit, one.kind, "" if one.kind == Kind.ORDER else one.protocol)
        for visit, scans in visits.items()
        for one in differences_of(scans, pattern)
    }


def judge(truth: Truth, found: Truth) -> dict[Kind, tuple[float, float, int]]:
    """Return precision, recall and number of faults, by kind."""
    by_kind: dict[Kind, list[Truth]] = defaultdict(lambda: [set(), set()])
    for which, some in enumerate((truth, found)):
        for one in some:
            by_kind[one[1]][which].add(one)
    return {
        kind: (
            len(planted & told) / max(1, len(told)),
            len(planted & told) / max(1, len(planted)),
            len(planted),
        )
        for kind in Kind
        for planted, told in [by_kind[kind]]
    }


def leave_records(store: Path, visits: int) -> None:
    """Leave a record of each visit: most are done, some failed by three causes."""
    from dataclasses import replace

    from benchmarks.commands import server
    from icfqueue.core.options import Options
    from icfqueue.core.visit import Visit
    from icfqueue.ledger import record
    from icfqueue.ledger.record import State, StepRecord

    dice = random.Random(2)
    now, began = 0.0, 1_780_000_000.0
    found = []
    for number in range(visits):
        visit = Visit("planted", f"visit_{number:05d}")
        size = int(10 ** dice.uniform(7.5, 9.3))
        now += size / 4e7 * dice.uniform(0.3, 0.8)
        seconds = [0.01, size / 4e8, 0.02, 0.5 + size / 5e9, 0.3, 0.01]
        steps = [
            StepRecord(State.DONE, attempts=1, seconds=one * dice.uniform(0.7, 1.8))
            for one in seconds
        ]
        made = record.new(visit, Options("https://data.example.org"), 0, began)
        if dice.random() < 1 / 50:
            cause = dice.choice(["cut", "cut", "cut", "gzip", "not-in-store"])
            steps = [StepRecord(State.FAILED, attempts=1), *steps[1:]]
            error = dict.fromkeys(("step", "kind", "type", "message", "hint"), "")
            made = replace(made, error={**error, "cause": cause})
        found.append(
            replace(made, steps=tuple(steps), tar_bytes=size, finished_at=began + now)
        )
    with server(store) as ledger:
        ledger.put_many([(None, one) for one in found])


def leave_tables(store: Path, visits: int, projects: int) -> int:
    """Leave the tables of several projects; return how many series are in them."""
    count = 0
    for number in range(projects):
        name = f"planted_{number:02d}"
        folder = store / name
        folder.mkdir(parents=True, exist_ok=True)
        rows, _ = make(visits // projects, RATES[0], seed=number, project=name)
        count += len(rows)
        with Writer(folder / NAME) as table:
            table.add(rows)
    return count


def main() -> None:
    """Print a table, or leave a project in a store directory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("visits", nargs="?", type=int, default=2_000)
    parser.add_argument("--projects", type=int, default=0)
    asked = parser.parse_args()
    if asked.store and asked.projects:
        rows = leave_tables(asked.store, asked.visits, asked.projects)
        print(f"{asked.visits} visits with {rows} series in {asked.projects} projects")
        return
    if asked.store:
        folder = asked.store / "planted"
        folder.mkdir(parents=True, exist_ok=True)
        with Writer(folder / NAME) as table:
            table.add(make(asked.visits, RATES[0])[0])
        leave_records(asked.store, asked.visits)
        print(f"{asked.visits} visits in {folder / NAME}")
        return
    print("visits with a fault  kind        planted  precision  recall")
    for rate in RATES:
        rows, truth = make(asked.visits, rate)
        judged = judge(truth, found_in(rows))
        for kind, (precision, recall, count) in judged.items():
            print(f"{rate:>19.0%}  {kind:10}  {count:>7}  {precision:9.3f}  {recall:6.3f}")


if __name__ == "__main__":
    main()
