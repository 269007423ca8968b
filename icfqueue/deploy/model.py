"""A site on paper: what limits it, and how many workers of each queue it needs.

What a visit costs was measured (docs/performance.md); what a site has is told by whoever
asks. Queues are taken as busy without gaps and resources as independent, so the figures
are bounds, not promises. ``benchmarks/model.py`` prints tables from newer measurements by
the same formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HEADROOM = 1.25
"""Workers beyond those that would just do, for steps of different lengths."""

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

LARGEST_BATCH = 200
"""Visits of a batch of the catalog at most."""


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


@dataclass(frozen=True)
class Measured:
    """What was measured on one core; seconds, and bytes where that is said.

    Attributes
    ----------
    index_byte, index_member
        Of the index, for each byte of a tarball and each member.
    md5_byte
        To hash a byte.
    steps_byte
        CPU seconds for each byte, from the index on, of visits with few files.
    members_byte
        How many DICOM files those have for each byte.
    export_dicom, export_cpu
        Of the export for each DICOM file, by the clock and of all cores.
    catalog
        A visit's page and its share of the study's.
    redis
        Of the broker's one thread, for a visit.
    deposit_dicom
        Bytes of a deposit for each DICOM file.
    export_least, export_base, export_slope
        Bytes that an export holds: at least, and on a line by its DICOM files.
    """

    index_byte: float
    index_member: float
    md5_byte: float
    steps_byte: float
    members_byte: float
    export_dicom: float
    export_cpu: float
    catalog: float
    redis: float
    deposit_dicom: float
    export_least: float
    export_base: float
    export_slope: float


MEASURED = Measured(
    index_byte=1.532e-09,
    index_member=1.524e-05,
    md5_byte=1.458e-09,
    steps_byte=4.304e-09,
    members_byte=4.672e-06,
    export_dicom=8.05e-05,
    export_cpu=0.0001086,
    catalog=0.00303,
    redis=0.00462,
    deposit_dicom=410,
    export_least=8.52e07,
    export_base=5.874e07,
    export_slope=2646,
)
"""From ``benchmarks/results.json``; a test compares both."""


@dataclass(frozen=True)
class Costs:
    """What a visit takes; seconds, and bytes where that is said.

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


def costs(site: Site, measured: Measured = MEASURED) -> Costs:
    """Scale what was measured to the site's visits."""
    m = measured
    fetched = 0.0 if site.local else site.visit_bytes
    # TLS, and MD5 if there is one to compare it with.
    fetch_cpu = fetched * (1 / site.tls + (0.0 if site.unpublished else m.md5_byte))
    fetch = max(fetched / site.stream, fetch_cpu)
    index = site.visit_bytes * m.index_byte + site.dicoms * m.index_member
    export = site.dicoms * m.export_dicom
    # Those of visits with few members, by bytes; and what more members cost.
    more = site.dicoms - site.visit_bytes * m.members_byte
    steps_cpu = site.visit_bytes * m.steps_byte + more * (m.index_member + m.export_cpu)
    return Costs(
        fetch=fetch,
        index=index,
        export=export,
        catalog=m.catalog,
        cpu=fetch_cpu + steps_cpu,
        redis=m.redis + (fetch + index + export) * RENEWALS * COMMAND,
        page=PAGE + PAGE_A_VISIT * site.visits / site.studies,
        deposit=site.dicoms * m.deposit_dicom,
        memory=max(m.export_least, m.export_base + site.dicoms * m.export_slope),
    )


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
