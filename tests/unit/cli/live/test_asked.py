"""A run answers for what it was asked for, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.records import a_record

from icfqueue.cli.live import asked as module
from icfqueue.cli.live.asked import Asked
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger

DONE, FAILED, QUEUED = (Visit("study_1", name) for name in ("done", "failed", "queued"))


@pytest.fixture
def full(ledger: RedisLedger) -> RedisLedger:
    """A project with one visit in each state."""
    ledger.put_many([(None, a_record(state)) for state in State])
    return ledger


def test_a_whole_project_is_all_its_visits(full: RedisLedger) -> None:
    asked = Asked(full, "study_1")
    assert (asked.summary().visits, asked.summary().drained) == (6, False)
    assert [group.visits for group in asked.failures()] == [["failed"]]
    assert asked.in_state(State.QUEUED) == [QUEUED]
    assert asked.left_over() == 0


def test_of_visits_named_the_others_do_not_count(full: RedisLedger) -> None:
    """Neither their failures, nor whether they are done."""
    asked = Asked(full, "study_1", [DONE], ["done"])
    assert (asked.summary().visits, asked.summary().drained) == (1, True)
    assert asked.failures() == []
    assert asked.in_state(State.FAILED) == []
    # Those that were queued before are still to be done.
    assert asked.left_over() == 3
    both = Asked(full, "study_1", [FAILED, QUEUED], ["failed", "queued"])
    assert not both.summary().drained
    assert [group.visits for group in both.failures()] == [["failed"]]


def test_what_nobody_can_read_is_not_waited_for(full: RedisLedger) -> None:
    asked = Asked(full, "study_1", [QUEUED], ["queued"])
    assert asked.stuck() == []
    full.client.hset(visit_key(QUEUED), "r", "{")
    assert [one.visit for one in asked.stuck()] == [QUEUED]
    assert [group.cause for group in asked.failures()] == ["unreadable"]


def test_many_visits_named_are_not_read_at_every_look(
    full: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARING", 1e9)
    asked = Asked(full, "study_1", [QUEUED])
    assert asked.summary().active == 1
    entry = full.get(QUEUED)
    full.put_many([(entry, replace(a_record(State.DONE), visit=QUEUED))])
    assert asked.summary().active == 1
    assert asked.end().active == 0
