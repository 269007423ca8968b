"""Visits of a ledger that come from step to step, and a check of its indexes."""

from __future__ import annotations

import time
from typing import Any

from icfqueue.core.options import Options, Outcome
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import PREFIX, key, visit_key
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored.indexes import places, totals
from icfqueue.pipeline.worker_context import WorkerContext
from support.valkey import dump

OPTIONS = Options("https://data.example.org")
VISIT = Visit("p", "v")


def put(ledger: RedisLedger, visit: Visit = VISIT, priority: int = 0) -> Record:
    """Write the record of a visit that is not there yet."""
    made = record.new(visit, OPTIONS, priority, time.time())
    assert ledger.put_many([(None, made)]) == [True]
    return made


def claim(
    ledger: RedisLedger, visit: Visit = VISIT, lease: float = 30.0, token: str = "t"
) -> Record:
    """Begin the visit's next step."""
    changed = ledger.update(
        visit, lambda r: record.claimed(r, token, "host:1", time.time()), lease=lease
    )
    assert changed is not None
    return changed


def finish(ledger: RedisLedger, visit: Visit = VISIT, **facts: Any) -> Record:
    """End the visit's step, which tells `facts` of it."""
    outcome = Outcome(worked=True, **facts)
    changed = ledger.update(visit, lambda r: record.finished(r, outcome, time.time()))
    assert changed is not None
    return changed


def advance(ledger: RedisLedger, visit: Visit, step: str) -> None:
    """Have all steps of the visit done that come before `step`."""
    entry = ledger.get(visit)
    assert entry is not None
    while entry.record.step != step:
        claim(ledger, visit)
        finish(ledger, visit)
        entry = ledger.get(visit)
        assert entry is not None


def check_indexes(ledger: RedisLedger) -> None:
    """Compare every index with what a scan of all records gives."""
    names = list(ledger.client.scan_iter(f"{PREFIX}visit:*"))
    records = [Record.from_json(ledger.client.hget(name, "r")) for name in names]
    for each in records:
        assert ledger.client.hget(visit_key(each.visit), "t") == each.token
    _check_members(ledger, records)
    by_project: dict[str, list[Record]] = {}
    for each in records:
        by_project.setdefault(each.visit.project, []).append(each)
    for project, theirs in by_project.items():
        _check_answers(ledger, project, theirs)


def _check_members(ledger: RedisLedger, records: list[Record]) -> None:
    """Compare the members of all sets, and of the sorted sets of records."""
    sets: dict[str, set[str]] = {}
    scored: dict[str, set[str]] = {}
    for each in records:
        plain, ordered = places(each)
        for place, member in plain:
            sets.setdefault(place, set()).add(member)
        for place, member in ordered:
            scored.setdefault(place, set()).add(member)
    there = dump(ledger.client)
    assert {n: v for n, v in there.items() if isinstance(v, set)} == sets
    of_records = (key("sent:"), key("line:"), key("leases"), key("due"))
    assert {
        name: set(value) for name, value in there.items() if name.startswith(of_records)
    } == scored


def _check_answers(ledger: RedisLedger, project: str, records: list[Record]) -> None:
    """Compare what is asked about a project with what its records say."""
    sums = dict.fromkeys(totals(None), 0)
    for each in records:
        for field, amount in totals(each).items():
            sums[field] += amount
    assert ledger.totals(project) == sums
    by_state = ledger.counts(project)
    assert set(by_state) == set(State)
    assert sum(by_state.values()) == len(records)
    for state in State:
        assert by_state[state] == sum(each.state == state for each in records)
    running = {each.visit.id for each in records if each.state == State.RUNNING}
    assert set(ledger.progress(project)) <= running
    catalog = UPDATE_CATALOG.name
    ready = [e for e in records if e.state == State.QUEUED and e.step == catalog]
    assert ledger.ready_count(project, catalog) == len(ready)
    if ready:
        assert ledger.client.zscore(key("flush"), project) is not None


def client_of(ledger: Ledger) -> Any:
    """Return the connection of a ledger, of which other code must not know."""
    assert isinstance(ledger, RedisLedger)
    return ledger.client


def disconnect(context: WorkerContext) -> None:
    """Close a process' connections to the broker."""
    for ledger in (context.ledger, context.quick):
        client_of(ledger).close()
