"""What ops/ has for Prometheus and Grafana works with the numbers that there are."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs
from support.in_process_queue import InProcessQueue
from support.needs import program
from support.prometheus import OPS, Prometheus, metrics
from support.valkey import Valkey

from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger

RULES = OPS / "prometheus" / "icfqueue.rules.yml"
DASHBOARD: Any = json.loads((OPS / "grafana" / "icfqueue.json").read_text())
QUERIES = [
    (panel["title"], target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


@pytest.fixture
def asked(
    tmp_path: Path, valkey: Valkey, settings: Settings, ledger: RedisLedger
) -> Iterator[Prometheus]:
    """A Prometheus that saw a project worked on: visits done, failed, put off, queued."""
    chosen = structs.replace(settings, store_faults=1, retry_base=1000.0)
    queue = InProcessQueue.on(valkey, chosen, ledger)
    visits = queue.build(3)
    bad, *away = (Visit("study_1", name) for name in ("bad", "away_1", "away_2"))
    queue.store.path(bad, bad.tarball).write_bytes(b"no tarball")
    with (
        metrics(queue.store.root, valkey.url) as target,
        Prometheus(tmp_path, target) as server,
    ):
        queue.enqueue([*visits, bad, *away])
        server.scraped()
        left = {str(visit) for visit in (*visits, bad)}

        def over() -> bool:
            states = {str(r.visit): r.state for r in ledger.records("study_1")}
            return all(states[one] in {"done", "failed"} for one in left) and all(
                states[str(one)] == "waiting" for one in away
            )

        queue.drain(until=over)
        queue.enqueue([Visit("study_2", "not_yet")])
        server.scraped()
        yield server
    queue.close()


def test_every_query_of_the_dashboard_and_every_alert_finds_its_numbers(
    asked: Prometheus,
) -> None:
    for title, text in QUERIES:
        query = text.replace("$project", "study_1").replace("$__rate_interval", "5m")
        found = asked.query(query)
        assert found, f"{title}: nothing for {query}"
        assert any(math.isfinite(value) for _, value in found), f"{title}: {found}"
    by_state = asked.query('sum by (state) (icfqueue_visits{project="study_1"})')
    visits = {labels["state"]: value for labels, value in by_state}
    assert visits["done"] == 3
    assert (visits["failed"], visits["waiting"]) == (1, 2)
    (group,) = asked.ask("rules")["groups"]
    assert [rule["health"] for rule in group["rules"]] == ["ok"] * 5
    # A rate needs what happened between two scrapes.
    ((_, steps),) = asked.query("sum(increase(icfqueue_step_duration_seconds_count[5m]))")
    assert steps > 10
    # Its list of projects is that of the queue.
    variable = DASHBOARD["templating"]["list"][1]["query"]["query"]
    series, label = variable.removeprefix("label_values(").rstrip(")").split(", ")
    assert {labels[label] for labels, _ in asked.query(series)} == {"study_1", "study_2"}


def test_each_alert_is_raised_by_what_it_is_for_and_by_nothing_else() -> None:
    promtool = program("promtool", "prometheus")
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    tests = (RULES.parent / "icfqueue.test.yml").read_text()
    assert len(rules) == 5
    for rule in rules:
        assert tests.count(f"alertname: {rule['alert']}") > 1
    for words in (("check", "rules", RULES.name), ("test", "rules", "icfqueue.test.yml")):
        done = subprocess.run(
            [promtool, *words],
            cwd=RULES.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in places, panel["title"]
                assert x < 24
                places.add((x, y))
