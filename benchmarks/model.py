"""A site on paper: what limits it, and how many workers of each queue it needs.

``python -m benchmarks.model`` reads ``results.json`` and prints, for 1, 10 and 100
worker nodes, how many visits a day each resource allows. What was measured are the costs
of a visit; what a site has is given by options. Queues are taken as busy without gaps and
resources as independent, so the figures are bounds, not promises.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"
DAY = 86_400
HEADROOM = 1.25
"""Workers beyond those that would just do, for steps of different lengths."""


@dataclass(frozen=True)
class Site:
    """What a site has. Rates are bytes a second.

    Attributes
    ----------
    visits, visit_bytes, dicom_bytes, studies
        The work.
    store, stream
        What the store sends in all, and over one connection.
    disk
        What the shared store directory reads and writes in all.
    network
        Of each node.
    cores
        Of each node.
    local
        The tarballs lie in the store directory already.
    """

    visits: int = 10_000
    visit_bytes: float = 10e9
    dicom_bytes: float = 212e3
    studies: int = 10
    store: float = 1.25e9
    stream: float = 110e6
    disk: float = 5e9
    network: float = 1.25e9
    cores: int = 16
    local: bool = False


@dataclass(frozen=True)
class Costs:
    """What a visit takes, as measured; seconds.

    Attributes
    ----------
    index, export, catalog
        Of one process, for the visit.
    cpu
        Of all cores together, for the visit.
    redis
        Of the broker's one thread, for the visit.
    """

    index: float
    export: float
    catalog: float
    cpu: float
    redis: float


def costs(site: Site, results: dict[str, Any]) -> Costs:
    """Scale what was measured to the site's visits."""
    rows = {row["case"]: row for g in results["groups"].values() for row in g["rows"]}

    def find(start: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            r for case, r in rows.items() if case.startswith(start)
        )
        return found

    index = find("index_tar + write_json, structural")
    growth = [row for case, row in rows.items() if "generated DICOMs" in case][-1]
    large = find("run --jobs 2")
    copies, tar_bytes = large["facts"]["copies"], index["facts"]["tar_bytes"]
    per_dicom = growth["facts"]["us_per_dicom"] / 1e6
    # The measured CPU seconds have the export of the structural visit's files in them.
    more = site.visit_bytes * (1 / site.dicom_bytes - index["facts"]["dicoms"] / tar_bytes)
    return Costs(
        index=site.visit_bytes * index["ours"] / index["facts"]["tar_bytes"],
        export=site.visit_bytes / site.dicom_bytes * per_dicom,
        catalog=find("update_catalog, cost")["ours"] / 1000,
        cpu=site.visit_bytes * large["facts"]["cpu_seconds"] / (copies * tar_bytes)
        + more * per_dicom,
        redis=find("whole project")["facts"]["redis_cpu_ms_a_visit"] / 1000,
    )


def limits(site: Site, cost: Costs, nodes: int) -> dict[str, float]:
    """Return how many visits a second each resource allows with so many nodes.

    A visit's bytes pass the network of nodes three times (from the store, to the shared
    disk, and from there to the indexer) and the disk twice; both once if they are local.
    """
    size = site.visit_bytes
    return {
        "store": math.inf if site.local else site.store / size,
        "disk": site.disk / size / (1 if site.local else 2),
        "network": nodes * site.network / size / (1 if site.local else 3),
        "CPU": nodes * site.cores / cost.cpu,
        "Redis": 1 / cost.redis,
        "catalog": site.studies / cost.catalog,
    }


def workers(site: Site, cost: Costs, rate: float) -> dict[str, int]:
    """Return the processes of each queue for `rate` visits a second (Little's law)."""
    seconds = {
        "fetch": 0.0 if site.local else site.visit_bytes / site.stream,
        "index": cost.index,
        "export": cost.export,
        "catalog": cost.catalog,
    }
    return {
        queue: max(1, math.ceil(HEADROOM * rate * spent))
        for queue, spent in seconds.items()
    }


def lines(site: Site, cost: Costs) -> Iterator[list[str]]:
    """Yield the table's head, then what limits the site with 1, 10 and 100 nodes."""
    resources = list(limits(site, cost, 1))
    yield ["nodes", *resources, "limit", "days", *workers(site, cost, 1.0)]
    for nodes in (1, 10, 100):
        allowed = limits(site, cost, nodes)
        limit = min(allowed, key=allowed.__getitem__)
        rate = allowed[limit]
        needed = workers(site, cost, rate)
        yield [
            str(nodes),
            *(f"{value * DAY:,.0f}" for value in allowed.values()),
            limit,
            f"{site.visits / rate / DAY:.1f}",
            *map(str, needed.values()),
        ]


def sentence(site: Site, cost: Costs) -> str:
    """Return the costs of a visit in words."""
    return (
        f"A visit of {site.visit_bytes / 1e9:g} GB: index {cost.index:.0f} s, "
        f"export {cost.export:.1f} s, catalog {cost.catalog * 1000:.1f} ms, "
        f"{cost.cpu:.0f} CPU seconds in all, Redis {cost.redis * 1000:.1f} ms."
    )


def main() -> None:
    """Print the costs of a visit and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    for name, value in vars(Site()).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(option, action="store_true", help="nothing to fetch")
            continue
        parser.add_argument(option, type=type(value), default=value, help=f"{value:g}")
    site = Site(**vars(parser.parse_args()))
    cost = costs(site, json.loads(RESULTS.read_text()))
    console = Console(width=170)
    console.print(sentence(site, cost))
    head, *rows = lines(site, cost)
    shown = Table(*head, title="visits a day that each resource allows; workers per queue")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


if __name__ == "__main__":
    main()
