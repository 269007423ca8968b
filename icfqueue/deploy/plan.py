"""How many workers, of what size, for how long: what files for a cluster are made from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from icfqueue.core.errors import UsageError
from icfqueue.core.plain_text import size
from icfqueue.core.steps import QUEUES
from icfqueue.deploy import model
from icfqueue.deploy.model import Costs, Site

LEAST_MEMORY = 1 << 30
"""Bytes asked for each process, at least: Python, git-annex and git take 0.1 to 0.4 GB."""

SPARE_MEMORY = 1.5
"""Times what an export was measured to hold."""

OF_MACHINES = ("network", "CPU")
"""Limits that more machines move."""

SLOW = {
    "store": ("the store on the web sends", "--store-rate"),
    "disk": ("the disk of the store directory reads and writes", "--disk-rate"),
    "Redis": ("the broker allows", ""),
    "catalog": ("the catalog takes", ""),
}
"""The others, in words, and by which option one says that it is faster."""

MOST_MACHINES = 10_000
HOUR, DAY = 3600, 86_400
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Group:
    """Workers that are alike.

    Attributes
    ----------
    queues
        Those that they serve.
    workers
        How many: elements of a job array, or machines.
    processes
        Of each worker.
    memory
        Bytes of each process.
    """

    queues: tuple[str, ...]
    workers: int
    processes: int
    memory: int = LEAST_MEMORY

    @property
    def name(self) -> str:
        """What tells it from other groups; empty if it serves every queue."""
        return "" if self.queues == QUEUES else "-".join(self.queues)


@dataclass(frozen=True)
class Plan:
    """What is wanted.

    Attributes
    ----------
    groups
        The workers.
    seconds
        For how long each is there.
    waves
        How often a worker is followed by another when its time is over.
    words
        The reckoning, in sentences.
    """

    groups: tuple[Group, ...]
    seconds: float
    waves: int = 1
    words: tuple[str, ...] = ()


def plain(workers: int, processes: int, queues: tuple[str, ...], seconds: float) -> Plan:
    """Return a plan for workers that are all alike."""
    return Plan((Group(queues, workers, processes),), seconds)


def by_queue(
    workers: int, processes: dict[str, int], queues: tuple[str, ...], seconds: float
) -> Plan:
    """Return a plan with workers of its own for each queue."""
    return Plan(
        tuple(Group((queue,), workers, processes[queue]) for queue in queues), seconds
    )


def by_deadline(
    site: Site,
    deadline: float,
    *,
    processes: int,
    queues: tuple[str, ...],
    seconds: float | None = None,
) -> Plan:
    """Reckon how many workers of each queue do the site's visits within `deadline`.

    Parameters
    ----------
    deadline
        Seconds from the first to the last visit.
    processes
        Of one worker, at most.
    seconds
        For how long a worker is there; if that is less than `deadline`, others follow.

    Raises
    ------
    UsageError
        Something that more workers do not change is too slow for that.
    """
    cost = model.costs(site)
    rate = site.visits / deadline
    machines = _machines(site, cost, rate)
    needed = model.workers(cost, rate)
    count = {queue: needed[queue] for queue in queues}
    groups = []
    for queue in queues:
        memory = LEAST_MEMORY
        if queue == "export":
            memory = max(memory, math.ceil(cost.memory * SPARE_MEMORY))
        # One of more processes than a machine has cores would be placed nowhere.
        each = min(processes, site.cores, count[queue])
        groups.append(Group((queue,), math.ceil(count[queue] / each), each, memory))
    lasts = min(seconds or deadline, deadline)
    return Plan(
        tuple(groups),
        lasts,
        waves=math.ceil(deadline / lasts),
        words=tuple(_sentences(site, cost, deadline, machines, count)),
    )


def _machines(site: Site, cost: Costs, rate: float) -> int:
    """Return how many machines allow `rate` visits a second.

    Raises
    ------
    UsageError
        However many there are, something is too slow.
    """
    count = 1
    while True:
        allowed = model.limits(site, cost, count)
        for limit, most in allowed.items():
            if limit not in OF_MACHINES and most < rate:
                what, option = SLOW[limit]
                faster = f", or a higher {option} if it is faster" if option else ""
                raise UsageError(
                    f"{site.visits:,} visits of {size(int(site.visit_bytes))} take "
                    f"{_at_least(site.visits, most)}: {what} no more, however many "
                    "workers there are",
                    hint="--visits and --visit-size say what there is; else a later "
                    f"--deadline{faster}",
                )
        need = max(rate / allowed[limit] * count for limit in OF_MACHINES)
        if need <= count:
            return count
        count = math.ceil(need)
        if count > MOST_MACHINES:
            raise UsageError(
                f"{count:,} machines would be needed", hint="a later --deadline"
            )


def _at_least(visits: int, rate: float) -> str:
    return f"{shown(visits / rate)} at least" if rate else "for ever"


def _sentences(
    site: Site, cost: Costs, deadline: float, machines: int, count: dict[str, int]
) -> Iterator[str]:
    yield (
        f"{site.visits:,} visits of {site.visit_bytes / 1e9:g} GB within "
        f"{shown(deadline)}, by the model of docs/performance.md:"
    )
    yield (
        f"a visit takes {cost.fetch:.0f} s of fetch, {cost.index:.0f} s of index, "
        f"{cost.export:.1f} s of export;"
    )
    yield (
        "processes in all: "
        + ", ".join(f"{number} {queue}" for queue, number in count.items())
        + f"; on {machines} machine{'s' * (machines > 1)} of {site.cores} "
        f"core{'s' * (site.cores > 1)} or more."
    )


def shown(seconds: float) -> str:
    """Return a time for people: ``45 min``, ``8 h``, ``2.5 days``."""
    if seconds < HOUR:
        return f"{math.ceil(seconds / 60)} min"
    if seconds < 2 * DAY:
        return f"{round(seconds / HOUR, 1):g} h"
    return f"{round(seconds / DAY, 1):g} days"


def clock(seconds: float) -> str:
    """Return a time as Slurm has it, ``[days-]hours:minutes:seconds``."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"


def parse_bytes(text: str) -> float:
    """Return the bytes that `text` stands for: ``10GB``, ``212kB``, ``1.5 TB``, ``300``.

    Raises
    ------
    UsageError
        It is no size, or none at all.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)B?\s*", text)
    told = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not told:
        raise UsageError(f"{text!r} is no size", hint="for example 10GB, 212kB or 1.5TB")
    return told
