"""A reading of the queue as Prometheus has it: names, labels and units.

Base units, as Prometheus asks for (https://prometheus.io/docs/practices/naming/): seconds
and bytes. No label names a visit, for each value of a label makes a series that is kept
for weeks; projects, steps, states and causes are few.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from icfqueue import __version__
from icfqueue.core.steps import NAMES
from icfqueue.ledger.record import State
from icfqueue.ledger.stored.tallies import BYTES, SECONDS, Histogram, Tallies
from icfqueue.monitoring.reading import LOOKED_AT, NOWHERE, ProjectReading, Reading

Projects = Mapping[str, ProjectReading]


class QueueCollector(Collector):
    """Asks the broker whenever Prometheus asks.

    Parameters
    ----------
    ask
        Returns a reading; None if there is no broker to ask.
    """

    def __init__(self, ask: Callable[[], Reading | None]) -> None:
        self._ask = ask
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; without a broker those that say so."""
        with self._lock:
            found = self._ask()
        yield _gauge("up", "Whether the broker answers, 1 or 0.", int(found is not None))
        build = GaugeMetricFamily(
            "icfqueue_build_info", "The release that asks.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        if found is not None:
            yield from _of_all(found)
            yield from _of_projects(found.projects)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the broker is not asked before somebody wants to know."""
        return ()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"icfqueue_{name}", text, value=value)


def _of_all(found: Reading) -> Iterator[Metric]:
    """Yield what is of no project."""
    yield _gauge("scrape_seconds", "How long asking the broker took.", found.seconds)
    yield from _workers(found)
    yield _gauge(
        "lease_overdue_seconds",
        "Seconds since the end of the lease that ran out first; 0 if all are held.",
        found.overdue,
    )
    queues = GaugeMetricFamily(
        "icfqueue_queue_messages", "Messages that wait in a queue.", labels=["queue"]
    )
    for queue, depth in found.queues.items():
        queues.add_metric([queue], depth)
    yield queues
    if found.disk is not None:
        free, size = found.disk
        yield _gauge("disk_free_bytes", "Free room of the store directory.", free)
        yield _gauge("disk_size_bytes", "All room of the store directory.", size)
    yield _gauge(
        "disk_resting", "Whether the full disk is left alone, 1 or 0.", found.rests.disk
    )
    stores = GaugeMetricFamily(
        "icfqueue_store_resting",
        "Whether a failing store is left alone, 1 or 0.",
        labels=["store"],
    )
    for host, resting in found.rests.stores.items():
        stores.add_metric([host], resting)
    yield stores
    held = GaugeMetricFamily(
        "icfqueue_project_held",
        "Whether the store refused access to the project, 1 or 0.",
        labels=["project"],
    )
    for project, is_held in found.rests.held.items():
        held.add_metric([project], is_held)
    yield held


def _workers(found: Reading) -> Iterator[Metric]:
    yield _gauge("workers", "Workers that are alive.", found.workers)
    processes = sum(sign.processes for sign in found.signs)
    yield _gauge("worker_processes", "Processes of these workers.", processes)
    busy = sum(len(sign.jobs) for sign in found.signs)
    yield _gauge("worker_processes_busy", "Those of them that work on a visit.", busy)
    rooms = GaugeMetricFamily(
        "icfqueue_worker_disk_free_bytes",
        "Free room of the store directory as the workers of a host see it.",
        labels=["host"],
    )
    by_host: dict[str, int] = {}
    for sign in found.signs:
        if sign.disk_free is not None:
            by_host[sign.host] = min(sign.disk_free, by_host.get(sign.host, sign.disk_free))
    for host, free in sorted(by_host.items()):
        rooms.add_metric([host], free)
    yield rooms


def _of_projects(projects: Projects) -> Iterator[Metric]:
    yield _visits(projects)
    yield from _sums(projects)
    failed = GaugeMetricFamily(
        "icfqueue_failed_visits",
        "Visits that failed and were not retried, by cause.",
        labels=["project", "cause"],
    )
    oldest = GaugeMetricFamily(
        "icfqueue_oldest_lease_seconds",
        "Seconds for which the running attempt has lasted that has lasted longest.",
        labels=["project", "step"],
    )
    for name, project in projects.items():
        for cause, count in project.failed.items():
            failed.add_metric([name, cause], count)
        for step in NAMES:
            oldest.add_metric([name, step], project.oldest.get(step, 0.0))
    yield failed
    yield oldest
    yield from _counters(projects)
    yield _histogram(
        projects,
        "step_duration_seconds",
        "Seconds that attempts took which succeeded, claim and record included.",
        lambda tallies: tallies.seconds,
        SECONDS,
    )
    yield _histogram(
        projects,
        "step_tarball_bytes",
        "Sizes of the tarballs of visits for which a step was done.",
        lambda tallies: tallies.bytes,
        BYTES,
    )


def _visits(projects: Projects) -> Metric:
    family = GaugeMetricFamily(
        "icfqueue_visits",
        "Visits by state and the step that they stand at; those that are done at none.",
        labels=["project", "state", "step"],
    )
    # All of them, though most are 0: a series that is missing now and then has gaps.
    places = [(state, step) for state in (State.QUEUED, *LOOKED_AT) for step in NAMES]
    places.append((State.DONE, NOWHERE))
    for name, project in projects.items():
        strange = [(s, NOWHERE) for s in LOOKED_AT if project.visits[s, NOWHERE]]
        for state, step in (*places, *strange):
            family.add_metric([name, state, step], project.visits[state, step])
    return family


def _sums(projects: Projects) -> Iterator[Metric]:
    for field, name, text in (
        ("tar_bytes", "tarball_bytes", "Bytes of the tarballs whose size is known."),
        ("read_bytes", "indexed_bytes", "Bytes of the tarballs that were read."),
        ("read_dicoms", "indexed_images", "Images in the tarballs that were read."),
    ):
        family = GaugeMetricFamily(f"icfqueue_{name}", text, labels=["project"])
        for project, reading in projects.items():
            family.add_metric([project], getattr(reading, field))
        yield family


def _counters(projects: Projects) -> Iterator[Metric]:
    """Yield the counts of what went otherwise than it should."""
    for field, name, text in (
        ("failures", "failures", "How often a visit failed for good."),
        ("retries", "retries", "How often a step failed and is tried again."),
        (
            "postponed",
            "postponements",
            "How often a visit was put off through no fault of its own.",
        ),
    ):
        family = CounterMetricFamily(
            f"icfqueue_{name}", text, labels=["project", "step", "cause"]
        )
        for project, reading in projects.items():
            for (step, cause), count in sorted(getattr(reading.tallies, field).items()):
                family.add_metric([project, step, cause], count)
        yield family
    lost = CounterMetricFamily(
        "icfqueue_lease_losses",
        "How often a lease ran out because its worker vanished.",
        labels=["project", "step"],
    )
    for project, reading in projects.items():
        for step in NAMES:
            lost.add_metric([project, step], reading.tallies.lost.get(step, 0))
    yield lost


def _histogram(
    projects: Projects,
    name: str,
    text: str,
    part: Callable[[Tallies], dict[str, Histogram]],
    bounds: tuple[str, ...],
) -> Metric:
    family = HistogramMetricFamily(f"icfqueue_{name}", text, labels=["project", "step"])
    for project, reading in projects.items():
        histograms = part(reading.tallies)
        for step in NAMES:
            histogram = histograms.get(step, Histogram())
            buckets = histogram.cumulative(bounds)
            family.add_metric([project, step], buckets, histogram.sum)
    return family
