"""The model of a site (:mod:`icfqueue.deploy.model`) from the measurements here, as tables.

``python -m benchmarks.model`` reads ``results.json`` and prints, for some numbers of
worker nodes, how many visits a day each resource allows. What was measured are the costs
of a visit; what a site has is given by options.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from icfqueue.deploy import model
from icfqueue.deploy.model import Costs, Measured, Site, limits, workers

RESULTS = Path(__file__).parent / "results.json"
DAY = 86_400
NODES = (1, 3, 10, 100)
KINDS = ("structural", "functional")
"""The visits whose index was measured."""

EXPORT_CPU = 1.35
"""CPU seconds of a second of the export, whose git and git-annex run at the same time.

Measured with 10,000 and 20,000 DICOM files (1.3 to 1.4); used where the row of the export
has no ``cpu_seconds`` of its own.
"""

REST, GATHER = 10, 2.0
"""The catalog's writer's rest in times of its work, and in seconds."""

HELP = {
    "local": "nothing to fetch",
    "unpublished": "the store publishes no MD5",
    "half_duplex": "the network's rate is for both directions together",
}


def costs(site: Site, results: dict[str, Any]) -> Costs:
    """Scale what was measured to the site's visits."""
    return model.costs(site, measured(results))


def measured(results: dict[str, Any]) -> Measured:
    """Return what the model takes from the measurements."""
    byte, member = index_costs(results)
    row = _row(results, f"index_tar + write_json, {KINDS[0]}")
    tar_bytes = row["facts"]["tar_bytes"]
    busy = _row(results, "run --jobs 2")
    export = _largest_export(results)
    less, most = _exports(results)[-2:]
    last = most["facts"]["dicoms"]
    slope = (most["peak_mb"] - less["peak_mb"]) / (last - less["facts"]["dicoms"])
    return Measured(
        index_byte=byte,
        index_member=member,
        md5_byte=row["reference"] / tar_bytes,
        # Copies of the structural visit.
        steps_byte=busy["reference"] / (busy["facts"]["copies"] * tar_bytes),
        members_byte=row["facts"]["dicoms"] / tar_bytes,
        export_dicom=export["facts"]["us_per_dicom"] / 1e6,
        export_cpu=export_cpu(results),
        catalog=catalog_seconds(results),
        redis=_row(results, "whole project")["facts"]["redis_cpu_ms_a_visit"] / 1000,
        deposit_dicom=export["facts"]["deposit_bytes"] / export["facts"]["dicoms"],
        # A line through the two largest that were measured.
        export_least=less["peak_mb"] * 1e6,
        export_base=(most["peak_mb"] - last * slope) * 1e6,
        export_slope=slope * 1e6,
    )


def index_costs(results: dict[str, Any]) -> tuple[float, float]:
    """Return the index's seconds a byte and a member: a line through both real visits."""
    rows = [_row(results, f"index_tar + write_json, {x}") for x in KINDS]
    sizes: list[float] = [row["facts"]["tar_bytes"] for row in rows]
    members: list[float] = [row["facts"]["dicoms"] for row in rows]
    seconds: list[float] = [row["ours"] for row in rows]
    ratio = sizes[1] / sizes[0]
    member = (seconds[1] - ratio * seconds[0]) / (members[1] - ratio * members[0])
    member = max(0.0, member)
    return (seconds[0] - members[0] * member) / sizes[0], member


def catalog_seconds(results: dict[str, Any]) -> float:
    """Return the seconds of a visit's page and its share of the study page's writing."""
    rows: list[dict[str, Any]] = results["groups"]["catalog"]["rows"]
    found: list[float] = [
        row["facts"]["ms_a_visit"] for row in rows if "ms_a_visit" in row["facts"]
    ]
    return found[-1] / 1000


def export_cpu(results: dict[str, Any]) -> float:
    """Return the CPU seconds of the export for each DICOM file."""
    row = _largest_export(results)
    measured: float | None = row["facts"].get("cpu_seconds")
    seconds = row["ours"] * EXPORT_CPU if measured is None else measured
    return float(seconds / row["facts"]["dicoms"])


def _row(results: dict[str, Any], start: str) -> dict[str, Any]:
    """Return the first row whose case begins with `start`."""
    rows = (row for group in results["groups"].values() for row in group["rows"])
    found: dict[str, Any] = next(row for row in rows if row["case"].startswith(start))
    return found


def _exports(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the export of generated DICOM files, by their number."""
    rows: list[dict[str, Any]] = results["groups"]["export"]["rows"]
    found = [row for row in rows if row["case"].endswith(" generated DICOMs")]
    return sorted(found, key=lambda row: int(row["facts"]["dicoms"]))


def _largest_export(results: dict[str, Any]) -> dict[str, Any]:
    return _exports(results)[-1]


def lines(site: Site, cost: Costs, nodes: Sequence[int] = NODES) -> Iterator[list[str]]:
    """Yield the table's head, then what limits the site with each number of nodes."""
    yield ["nodes", *limits(site, cost, 1), "limit", "days", *workers(cost, 1.0)]
    for count in nodes:
        allowed = limits(site, cost, count)
        limit = min(allowed, key=allowed.__getitem__)
        rate = allowed[limit]
        days = f"{site.visits / rate / DAY:.1f}" if rate else "never"
        yield [
            str(count),
            *(f"{value * DAY:,.0f}" for value in allowed.values()),
            limit,
            days,
            *map(str, workers(cost, rate).values()),
        ]


def sentence(site: Site, cost: Costs) -> str:
    """Return the costs of a visit, and the space of all, in words."""
    return "\n".join(_sentences(site, cost))


def _sentences(site: Site, cost: Costs) -> Iterator[str]:
    yield (
        f"A visit of {site.visit_bytes / 1e9:g} GB in {site.dicoms:,.0f} files: "
        f"fetch {cost.fetch:.0f} s, index {cost.index:.0f} s, "
        f"export {cost.export:.1f} s, catalog {cost.catalog * 1000:.1f} ms, "
        f"{cost.cpu:.0f} CPU seconds in all, Redis {cost.redis * 1000:.1f} ms."
    )
    yield f"Its export holds {cost.memory / 1e6:,.0f} MB."
    yield (
        f"All tarballs take {site.visits * site.visit_bytes / 1e12:g} TB if they are "
        f"kept, all deposits {site.visits * cost.deposit / 1e12:.2f} TB."
    )
    wait = max(GATHER, REST * cost.page)
    yield (
        f"A study page that lists {site.visits / site.studies:,.0f} visits is written in "
        f"{cost.page * 1000:.0f} ms; where visits come one by one, at most every "
        f"{wait:.1f} s, so that the writer takes at most a tenth of the time."
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def main() -> None:
    """Print the costs of a visit and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    for name, value in vars(Site()).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(option, action="store_true", help=HELP[name])
            continue
        parser.add_argument(option, type=type(value), default=value, help=f"{value:g}")
    shown = ",".join(map(str, NODES))
    parser.add_argument("--nodes", type=_numbers, default=NODES, help=shown)
    asked = vars(parser.parse_args())
    nodes = asked.pop("nodes")
    site = Site(**asked)
    cost = costs(site, json.loads(RESULTS.read_text()))
    console = Console(width=170)
    console.print(sentence(site, cost), highlight=False)
    head, *rows = lines(site, cost, nodes)
    table = Table(*head, title="visits a day that each resource allows; workers per queue")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
