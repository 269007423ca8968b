"""The names, labels and units that Prometheus is given."""

from __future__ import annotations

from collections import Counter

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from icfqueue.ledger.record import State
from icfqueue.ledger.roster import JobSign, Sign
from icfqueue.ledger.stored.tallies import Tallies
from icfqueue.monitoring.collector import QueueCollector
from icfqueue.monitoring.reading import ProjectReading, Reading
from icfqueue.pipeline.health.circuit_breaker import Rests

TALLIES = Tallies.of(
    {
        "seconds:fetch:0.3": "2",
        "seconds:fetch:sum": "500000",
        "bytes:fetch:1e+06": "2",
        "bytes:fetch:sum": "9",
        "retries:fetch:network": "4",
        "postponed:fetch:disk": "5",
        "failures:index_tar:cut": "3",
        "lost:fetch": "1",
    }
)
READING = Reading(
    projects={
        "study_1": ProjectReading(
            visits=Counter(
                {
                    (State.FAILED, "index_tar"): 3,
                    (State.DONE, ""): 7,
                    (State.RUNNING, ""): 1,
                }
            ),
            failed=Counter({"cut": 3}),
            oldest={"fetch": 2.5},
            tallies=TALLIES,
            tar_bytes=11,
            read_bytes=10,
            read_dicoms=9,
        )
    },
    queues={"fetch": 2},
    workers=4,
    signs=[
        Sign(
            name=f"a:{pid}",
            host="a",
            pid=pid,
            since=1.0,
            processes=2,
            disk_free=pid,
            jobs=(JobSign(project="p", visit="v", step="fetch", since=1.0),),
        )
        for pid in (7, 8)
    ],
    overdue=1.5,
    rests=Rests(disk=False, stores={"x:1": True}, held={"study_1": False}),
    disk=(10, 20),
    seconds=0.1,
)


def exposed(reading: Reading | None) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    registry = prometheus_client.CollectorRegistry()
    registry.register(QueueCollector(lambda: reading))
    text = prometheus_client.generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    return exposed(READING)[f"icfqueue_{name}", frozenset(labels.items())]


def test_a_broker_that_is_away_is_told_by_up_alone() -> None:
    found = exposed(None)
    assert found["icfqueue_up", frozenset()] == 0
    assert {name for name, _ in found} == {"icfqueue_up", "icfqueue_build_info"}


def test_numbers_have_their_names() -> None:
    assert value("up") == 1
    assert value("workers") == 4
    assert value("worker_processes") == 4
    assert value("worker_processes_busy") == 2
    assert value("worker_disk_free_bytes", host="a") == 7
    assert value("queue_messages", queue="fetch") == 2
    assert value("lease_overdue_seconds") == 1.5
    assert value("oldest_lease_seconds", project="study_1", step="fetch") == 2.5
    assert value("disk_free_bytes") == 10
    assert value("store_resting", store="x:1") == 1
    assert value("project_held", project="study_1") == 0
    assert value("failed_visits", project="study_1", cause="cut") == 3
    assert value("indexed_images", project="study_1") == 9
    at = {"project": "study_1", "step": "index_tar"}
    assert value("visits", state="failed", **at) == 3
    assert value("visits", state="waiting", **at) == 0
    assert value("visits", state="done", project="study_1", step="") == 7
    assert value("failures_total", cause="cut", **at) == 3


def test_counts_that_only_grow_are_counters_and_durations_histograms() -> None:
    at = {"project": "study_1", "step": "fetch"}
    assert value("retries_total", cause="network", **at) == 4
    assert value("postponements_total", cause="disk", **at) == 5
    assert value("lease_losses_total", **at) == 1
    assert value("step_duration_seconds_bucket", le="0.1", **at) == 0
    assert value("step_duration_seconds_bucket", le="0.3", **at) == 2
    assert value("step_duration_seconds_count", **at) == 2
    assert value("step_duration_seconds_sum", **at) == 0.5
    assert value("step_tarball_bytes_sum", **at) == 9


def test_no_label_names_a_visit_and_one_project_makes_few_series() -> None:
    found = exposed(READING)
    labels = {label for _, pairs in found for label, _ in pairs}
    assert labels == {
        *("version", "host", "queue", "store", "project", "state", "step", "cause", "le")
    }
    assert len(found) < 300
