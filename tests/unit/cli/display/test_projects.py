"""All projects in a line each, and the counts of one."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from support.ledger import advance, put
from support.records import a_record

from icfqueue.cli.display.projects import counts_line, projects
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations import status
from icfqueue.operations.status import anybody, counts_of


def test_the_counts_name_only_states_that_there_are(ledger: RedisLedger) -> None:
    ledger.put_many([(None, a_record(state)) for state in State])
    line = status.summary(ledger, "study_1")
    counts = {**line.counts, State.WAITING: 0}
    words = counts_line(replace(line, counts=counts)).plain
    assert words.startswith("study_1: 5 visits")
    assert "1 failed" in words
    assert "waiting" not in words


def test_what_is_between_two_steps_counts_as_running_while_somebody_works(
    ledger: RedisLedger,
) -> None:
    """After a Ctrl-C nothing runs, and nothing is said to."""
    for name in ("v", "w"):
        put(ledger, Visit("study_1", name))
    advance(ledger, Visit("study_1", "v"), "export_repo")
    line = status.summary(ledger, "study_1")
    counts = counts_of(line, workers=True)
    assert (counts[State.QUEUED], counts[State.RUNNING]) == (1, 1)
    assert counts_of(line, workers=False) == line.counts
    assert not anybody(ledger)
    ledger.worker_lives("host:1")
    assert anybody(ledger)
    assert counts_line(line, workers=False).plain == "study_1: 2 visits    2 queued"


@pytest.mark.parametrize("width", [60, 80, 120, 200, 300])
def test_a_project_is_named_in_full_with_what_failed(
    ledger: RedisLedger, width: int
) -> None:
    name = "study-with-a-rather-long-name"
    records = [replace(a_record(s), visit=Visit(name, s)) for s in State]
    ledger.put_many([(None, each) for each in records])
    where = io.StringIO()
    console = Console(file=where, width=width, force_terminal=True, color_system=None)
    console.print(projects([status.summary(ledger, name)], workers=True))
    heads, line = where.getvalue().splitlines()
    assert line.startswith(name)
    assert {"visits", "failed"} <= set(heads.split())
    assert max(map(len, (heads, line))) <= width
    assert ("DICOMs" in heads) is (width >= 120)
