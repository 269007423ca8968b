"""All that is measured of the queue, asked for at one moment.

What happens often is counted where it happens (:mod:`icfqueue.ledger.stored.tallies`); the
rest is asked for here. Only the records of visits that run, wait, failed or were cancelled
are read, for where they stand is in no index: those that are queued or done, which are
nearly all, are counted by the broker.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from icfqueue.broker.queues import Queues
from icfqueue.core.steps import NAMES, QUEUES
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.roster import Sign
from icfqueue.ledger.stored.tallies import UNKNOWN, Tallies
from icfqueue.pipeline.health.circuit_breaker import Rests, rests

LOOKED_AT = (State.RUNNING, State.WAITING, State.FAILED, State.CANCELLED)
"""States whose visits are looked at one by one."""

NOWHERE = ""
"""Step of a visit that is done, or of one whose record cannot be read."""


@dataclass(frozen=True, slots=True)
class ProjectReading:
    """One project.

    Attributes
    ----------
    visits
        By state and step: how many visits there are.
    failed
        By cause: how many visits have failed and were not retried.
    oldest
        By step: seconds for which the attempt has lasted that has lasted longest.
    tallies
        What happened since the first visit was enqueued.
    tar_bytes, read_bytes, read_dicoms
        Bytes of the tarballs whose size is known, and of those that were read; images in
        the latter.
    """

    visits: Counter[tuple[State, str]]
    failed: Counter[str]
    oldest: dict[str, float]
    tallies: Tallies
    tar_bytes: int
    read_bytes: int
    read_dicoms: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole queue.

    Attributes
    ----------
    projects
        By id.
    queues
        Messages that wait, by queue.
    workers
        How many said a moment ago that they live.
    signs
        What each worker said of itself; none of those of older releases.
    overdue
        Seconds since the end of the lease that ran out first; 0 if all are held.
    rests
        What nobody tries just now.
    disk
        Free and all bytes of the file system of the store directory; None if that is not
        there.
    seconds
        How long asking took.
    """

    projects: dict[str, ProjectReading]
    queues: dict[str, int]
    workers: int
    signs: list[Sign]
    overdue: float
    rests: Rests
    disk: tuple[int, int] | None
    seconds: float = field(compare=False)


def read(ledger: Ledger, queues: Queues, store_dir: Path, store_url: str) -> Reading:
    """Ask for everything.

    Parameters
    ----------
    store_dir, store_url
        The store here and on the web; visits that run or wait may name others.

    Raises
    ------
    redis.RedisError, OSError
        The broker does not answer.
    """
    began = time.perf_counter()
    now = ledger.now()
    urls = {store_url}
    projects = {name: _project(ledger, name, now, urls) for name in ledger.projects()}
    ends = ledger.tallies.first_lease_ends()
    return Reading(
        projects=projects,
        queues={queue: queues.depth(queue) for queue in QUEUES},
        workers=len(ledger.workers()),
        signs=ledger.roster.signs(),
        overdue=max(0.0, now - ends) if ends is not None else 0.0,
        rests=rests(ledger, urls, projects),
        disk=_disk(store_dir),
        seconds=time.perf_counter() - began,
    )


def _project(ledger: Ledger, project: str, now: float, urls: set[str]) -> ProjectReading:
    counts, queued = ledger.on_the_way(project)
    visits = Counter({(State.QUEUED, step): queued[step] for step in NAMES})
    visits[State.DONE, NOWHERE] = counts[State.DONE]
    failed: Counter[str] = Counter()
    oldest: dict[str, float] = {}
    records = _looked_at(ledger, project)
    for found in records:
        visits[found.state, found.step] += 1
        if found.active:
            urls.add(found.options.store_url)
        if found.state == State.FAILED:
            failed[(found.error or {}).get("cause") or UNKNOWN] += 1
        elif found.state == State.RUNNING and found.began is not None:
            lasts = max(0.0, now - found.began)
            oldest[found.step] = max(lasts, oldest.get(found.step, 0.0))
    seen = Counter(found.state for found in records)
    for state in LOOKED_AT:
        # Those whose records cannot be read, or that went on meanwhile.
        visits[state, NOWHERE] = max(0, counts[state] - seen[state])
    return ProjectReading(
        visits, failed, oldest, ledger.tallies.of(project), **ledger.totals(project)
    )


def _looked_at(ledger: Ledger, project: str) -> list[Record]:
    found = ledger.get_many(ledger.visits(project, LOOKED_AT))
    records = [entry.record for entry in found if isinstance(entry, Entry)]
    # One that went on since it was listed is counted where it is when that is next asked.
    return [found for found in records if found.state in LOOKED_AT]


def _disk(store_dir: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = shutil.disk_usage(store_dir)
        return found.free, found.total
    return None
