"""A site on paper: what limits it, and how many workers of each queue it needs.

``python -m benchmarks.model`` reads ``results.json`` and prints, for some numbers of
worker nodes, how many visits a day each resource allows. What was measured are the costs
of a visit; what a site has is given by options. Queues are taken as busy without gaps and
resources as independent, so the figures are bounds, not promises.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"
DAY = 86_400
NODES = (1, 3, 10, 100)
KINDS = ("structural", "functional")
"""The visits whose index was measured."""

HEADROOM = 1.25
"""Workers beyond those that would just do, for steps of different lengths."""

EXPORT_CPU = 1.35
"""CPU seconds of a second of the export, whose git and git-annex run at the same time.

Measured with 10,000 and 20,000 DICOM files (1.3 to 1.4); used where the row of the export
has no ``cpu_seconds`` of its own.
"""

COMMAND = 1e-4
"""Seconds of the broker's one thread for a command."""

RENEWALS = 1.0
"""Commands a second of each running step, which renews its lease."""

POLLS = 2.0
"""Commands a second of a worker's supervisor, and of its idle wait for messages."""

MAIN_PROCESSES = 2
"""Workers (``icfqueue worker``) of a node: one that fetches, one for the rest."""

PAGE, PAGE_A_VISIT = 3e-3, 17e-6
"""Seconds to write a study page anew, and more for each visit that it lists.

Measured with 2,000 listed visits; a page of 500 costs less than half of it for each.
"""

LARGEST_BATCH, REST, GATHER = 200, 10, 2.0
"""Visits of a batch at most; the writer's rest in times of its work, and in seconds."""


@dataclass(frozen=True)
class Site:
    """What a site has. Rates are bytes a second.

    Attributes
    ----------
    visits, visit_bytes, dicom_bytes, studies
        The work.
    store, stream
        What the store sends in all, and over one connection.
    tls
        What one core decrypts; ``inf`` for a store without TLS.
    disk
        What the shared store directory reads and writes in all.
    network
        Of each node, in each direction.
    cores
        Of each node.
    local
        The tarballs lie in the store directory already.
    unpublished
        The store publishes no MD5: a download is not hashed.
    half_duplex
        A node's network carries its rate in both directions together.
    """

    visits: int = 10_000
    visit_bytes: float = 10e9
    dicom_bytes: float = 212e3
    studies: int = 10
    store: float = 1.25e9
    stream: float = 110e6
    tls: float = 1e9
    disk: float = 5e9
    network: float = 1.25e9
    cores: int = 16
    local: bool = False
    unpublished: bool = False
    half_duplex: bool = False

    @property
    def dicoms(self) -> float:
        """DICOM files of a visit."""
        return self.visit_bytes / self.dicom_bytes


HELP = {
    "local": "nothing to fetch",
    "unpublished": "the store publishes no MD5",
    "half_duplex": "the network's rate is for both directions together",
}


@dataclass(frozen=True)
class Costs:
    """What a visit takes, as measured; seconds, and bytes where that is said.

    Attributes
    ----------
    fetch, index, export, catalog
        Of one process, for the visit.
    cpu
        Of all cores together, for the visit.
    redis
        Of the broker's one thread, for the visit; with the renewals while it runs.
    page
        To write the page of a whole study anew.
    deposit
        Bytes of a deposit.
    memory
        Bytes that an export holds, git and git-annex included.
    """

    fetch: float
    index: float
    export: float
    catalog: float
    cpu: float
    redis: float
    page: float
    deposit: float
    memory: float


def costs(site: Site, results: dict[str, Any]) -> Costs:
    """Scale what was measured to the site's visits."""
    byte, member = index_costs(results)
    fetched = 0.0 if site.local else site.visit_bytes
    fetch_cpu = fetched * fetch_cpu_a_byte(site, results)
    fetch = max(fetched / site.stream, fetch_cpu)
    index = site.visit_bytes * byte + site.dicoms * member
    export = site.dicoms * _largest_export(results)["facts"]["us_per_dicom"] / 1e6
    redis = _row(results, "whole project")["facts"]["redis_cpu_ms_a_visit"] / 1000
    return Costs(
        fetch=fetch,
        index=index,
        export=export,
        catalog=catalog_seconds(results),
        cpu=fetch_cpu + steps_cpu(site, results),
        redis=redis + (fetch + index + export) * RENEWALS * COMMAND,
        page=PAGE + PAGE_A_VISIT * site.visits / site.studies,
        deposit=site.dicoms * deposit_bytes(results),
        memory=export_memory(site.dicoms, results),
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


def fetch_cpu_a_byte(site: Site, results: dict[str, Any]) -> float:
    """Return the CPU seconds of a byte fetched: TLS, and MD5 at the rate of md5sum."""
    row = _row(results, f"index_tar + write_json, {KINDS[0]}")
    md5 = 0.0 if site.unpublished else row["reference"] / row["facts"]["tar_bytes"]
    return 1 / site.tls + float(md5)


def catalog_seconds(results: dict[str, Any]) -> float:
    """Return the seconds of a visit's page and its share of the study page's writing."""
    rows: list[dict[str, Any]] = results["groups"]["catalog"]["rows"]
    found: list[float] = [
        row["facts"]["ms_a_visit"] for row in rows if "ms_a_visit" in row["facts"]
    ]
    return found[-1] / 1000


def steps_cpu(site: Site, results: dict[str, Any]) -> float:
    """Return the CPU seconds of a visit from the index on.

    Those of copies of the structural visit, by bytes, which have its few members in them;
    and what more members cost.
    """
    busy = _row(results, "run --jobs 2")
    facts = _row(results, f"index_tar + write_json, {KINDS[0]}")["facts"]
    copies, tar_bytes = busy["facts"]["copies"], facts["tar_bytes"]
    alike = site.visit_bytes * busy["reference"] / (copies * tar_bytes)
    more = site.dicoms - site.visit_bytes * facts["dicoms"] / tar_bytes
    _, member = index_costs(results)
    return float(alike + more * (member + export_cpu(results)))


def export_cpu(results: dict[str, Any]) -> float:
    """Return the CPU seconds of the export for each DICOM file."""
    row = _largest_export(results)
    measured: float | None = row["facts"].get("cpu_seconds")
    seconds = row["ours"] * EXPORT_CPU if measured is None else measured
    return float(seconds / row["facts"]["dicoms"])


def export_memory(dicoms: float, results: dict[str, Any]) -> float:
    """Return the bytes an export holds: a line through the two largest measured ones."""
    less, most = _exports(results)[-2:]
    first, last = less["facts"]["dicoms"], most["facts"]["dicoms"]
    slope = (most["peak_mb"] - less["peak_mb"]) / (last - first)
    return float(max(less["peak_mb"], most["peak_mb"] + (dicoms - last) * slope) * 1e6)


def deposit_bytes(results: dict[str, Any]) -> float:
    """Return the bytes of a deposit for each DICOM file."""
    facts = _largest_export(results)["facts"]
    return float(facts["deposit_bytes"] / facts["dicoms"])


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


def passes(site: Site) -> int:
    """Return how often a visit's bytes pass a node's network, in its fuller direction.

    They come in from the store and from the shared disk, to be indexed, and go out to the
    shared disk in between; a link carries its rate both ways at once.
    """
    into, out = (1, 0) if site.local else (2, 1)
    return into + out if site.half_duplex else max(into, out)


def limits(site: Site, cost: Costs, nodes: int) -> dict[str, float]:
    """Return how many visits a second each resource allows with so many nodes.

    A visit's bytes pass the disk twice; once if they are local. Of the broker's thread
    each worker that is up takes a share.
    """
    size = site.visit_bytes
    # Supervisor and wait for messages.
    polls = nodes * MAIN_PROCESSES * 2 * POLLS * COMMAND
    return {
        "store": math.inf if site.local else site.store / size,
        "disk": site.disk / size / (1 if site.local else 2),
        "network": nodes * site.network / size / passes(site),
        "CPU": nodes * site.cores / cost.cpu,
        "Redis": max(0.0, 1 - polls) / cost.redis,
        "catalog": site.studies / (cost.catalog + cost.page / LARGEST_BATCH),
    }


def workers(cost: Costs, rate: float) -> dict[str, int]:
    """Return the processes of each queue for `rate` visits a second (Little's law)."""
    seconds = {
        "fetch": cost.fetch,
        "index": cost.index,
        "export": cost.export,
        "catalog": cost.catalog,
    }
    return {
        queue: max(1, math.ceil(HEADROOM * rate * spent))
        for queue, spent in seconds.items()
    }


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
