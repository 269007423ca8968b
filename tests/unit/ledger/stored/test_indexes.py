"""Which indexes a record stands in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.steps import NAMES, UPDATE_CATALOG, step
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import RetryIn
from icfqueue.ledger.stored.indexes import In, anew, changes, places, totals

VISIT = Visit("p", "v")
NEW = record.new(VISIT, Options("https://x"), 0, 1.0)


def advanced(found: Record, steps: int) -> Record:
    for _ in range(steps):
        found = record.claimed(found, "t", "w", 1.0)
        found = record.finished(found, Outcome(worked=True, tar_bytes=5, dicoms=3), 2.0)
    return found


@pytest.mark.parametrize("position", range(len(NAMES)))
def test_a_queued_visit_stands_with_its_state_its_step_and_its_queue(position: int) -> None:
    found = advanced(NEW, position)
    sets, scored = places(found)
    assert sets == {
        ("icfqueue:projects", "p"),
        ("icfqueue:in:p:queued", "v"),
        (f"icfqueue:ready:p:{NAMES[position]}", "v"),
    }
    # No message is sent for the gathered step: one for the study is enough.
    if NAMES[position] == UPDATE_CATALOG.name:
        assert not scored
    else:
        queue = step(NAMES[position]).queue
        level = "4" if position else "9"
        assert set(scored) == {
            (key("sent", queue), "p/v"),
            (key("line", queue, level, "p"), "v"),
        }


def test_running_and_waiting_visits_stand_with_the_time_of_their_end() -> None:
    running = record.claimed(NEW, "t", "w", 1.0)
    assert set(places(running)[1]) == {("icfqueue:leases", "p/v")}
    waiting = record.failed(running, NetworkTrouble("x"), RetryIn(1.5), 2.0)
    assert places(waiting)[1] == {("icfqueue:due", "p/v"): "due 3500"}


def test_a_visit_that_goes_nowhere_stands_with_its_state_alone() -> None:
    for found in (advanced(NEW, len(NAMES)), record.cancelled(NEW, 1.0)):
        assert places(found) == (
            {("icfqueue:projects", "p"), (f"icfqueue:in:p:{found.state}", "v")},
            {},
        )


def test_sums_count_what_was_indexed() -> None:
    assert totals(None) == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}
    part, whole = advanced(NEW, 1), advanced(NEW, 2)
    assert totals(part) == {"tar_bytes": 5, "read_bytes": 0, "read_dicoms": 0}
    assert totals(whole) == {"tar_bytes": 5, "read_bytes": 5, "read_dicoms": 3}


def test_nothing_changes_where_nothing_changed() -> None:
    running = record.claimed(NEW, "t", "w", 1.0)
    assert changes(running, running, lease=30, flush_after=2, now=1.0) == []


def test_enqueued_anew_while_queued_the_message_counts_as_sent_again() -> None:
    again = record.enqueued(NEW, NEW.options, 0, 5.0)
    assert changes(NEW, again, lease=30, flush_after=2, now=1.0) == [
        ["ZADD", "icfqueue:sent:fetch", In(0), "p/v"],
        ["ZADD", "icfqueue:line:fetch:9:p", In(0), "v"],
        ["ZADD", "icfqueue:turn:fetch:9", "NX", "0", "p"],
    ]


def test_progress_is_forgotten_when_the_step_ends_however_it_ends() -> None:
    running = record.claimed(NEW, "t", "w", 1.0)
    ends = [
        record.finished(running, Outcome(worked=True), 2.0),
        record.failed(running, NetworkTrouble("x"), RetryIn(1.0), 2.0),
        record.orphaned(running),
        record.given_back(running),
        record.cancelled(running, 2.0),
        record.enqueued(running, running.options, 0, 2.0),
    ]
    for after in ends:
        assert ["HDEL", "icfqueue:progress:p", "v"] in changes(
            running, after, lease=30, flush_after=2, now=1.0
        )


def test_the_first_visit_that_waits_for_its_page_sets_the_time_of_writing() -> None:
    ready = advanced(NEW, NAMES.index(UPDATE_CATALOG.name))
    before = replace(ready, steps=ready.steps).at(state=State.RUNNING)
    flush = ["ZADD", "icfqueue:flush", "NX", In(2000), "p"]
    assert flush in changes(before, ready, lease=30, flush_after=2, now=1.0)
    cleanup = advanced(ready, 1)
    after = changes(ready, cleanup, lease=30, flush_after=2, now=1.0)
    assert "icfqueue:flush" not in [command[1] for command in after]


def test_a_visit_is_due_by_the_clock_of_the_server() -> None:
    running = record.claimed(NEW, "t", "w", 1.0)
    waiting = record.failed(running, NetworkTrouble("x"), RetryIn(2.5), 1000.0)
    due = ["ZADD", "icfqueue:due", In(2500), "p/v"]
    assert due in changes(running, waiting, lease=30, flush_after=2, now=1000.0)
    assert changes(waiting, waiting, lease=30, flush_after=2, now=1001.0) == []


def test_a_record_stands_anew_where_it_stood_and_nowhere_else() -> None:
    """Whatever its state: as after the changes that led to it, and out of all others."""
    running = record.claimed(NEW, "t", "host:1", 2.0)
    for one in (NEW, running):
        commands = anew(one, lease=30.0, flush_after=1.0, now=0.0)
        plain, scored = places(one)
        added = {(c[1], c[-1]) for c in commands if c[0] in {"SADD", "ZADD"}}
        assert added >= plain | set(scored)
        removed = {(c[1], c[2]) for c in commands if c[0] in {"SREM", "ZREM", "HDEL"}}
        assert not removed & added
        assert (key("progress", "p"), "v") not in removed or one is NEW
        # Times that are known stay, and sums are another's.
        assert all(c[2] == "NX" for c in commands if c[0] == "ZADD")
        assert not any(c[0] == "HINCRBY" for c in commands)


def test_a_visit_that_is_streamed_waits_among_the_downloads() -> None:
    """With the step that it stands at: `status` counts by that."""
    streamed = replace(advanced(NEW, 1), streamed=True)
    sets, scored = places(streamed)
    assert ("icfqueue:ready:p:index_tar", "v") in sets
    assert set(scored) == {
        (key("sent", "fetch"), "p/v"),
        (key("line", "fetch", "4", "p"), "v"),
    }
    assert set(places(replace(advanced(NEW, 2), streamed=True))[1]) == {
        (key("sent", "index"), "p/v"),
        (key("line", "index", "4", "p"), "v"),
    }
