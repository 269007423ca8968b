"""A run answers for what it was asked for, and for nothing else."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from support.records import a_record

from icfqueue.cli.live import asked as module
from icfqueue.cli.live.asked import Asked
from icfqueue.cli.options import visit_arguments, work_options
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


@pytest.mark.parametrize(
    ("typed", "others", "again"),
    [
        (["study_1"], True, "icfqueue run study_1"),
        (["study_1", "--remote", "--jobs", "2"], True, "icfqueue run study_1 --jobs 2"),
        (["study_1", "v*", "--remove-tarball"], True, None),
        (["study_1", "v1", "v2"], False, "icfqueue run study_1"),
        (["study_1", "v1", "--remote"], False, "icfqueue run study_1"),
        # Without the names it would do more; without --remote perhaps less.
        (["study_1", "v1", "--remote"], True, None),
        (["study_1", "--visits-file", "list"], True, None),
        (["study_1", "--visits-file", "list", "--remote"], False, "icfqueue run study_1"),
    ],
)
def test_the_command_to_go_on_is_the_shortest_that_does(
    ledger: RedisLedger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    again: str | None,
    *,
    others: bool,
) -> None:
    """None stands for what was typed."""

    monkeypatch.chdir(tmp_path)
    Path("list").touch()

    @click.command()
    @visit_arguments
    @click.option("--jobs", default=1)
    @work_options
    def run(project: str, visits: tuple[str, ...], **_: Any) -> None:
        named = [DONE] if visits or "--visits-file" in typed else None
        click.echo(Asked(ledger, project, named, visits, others).again())

    done = CliRunner().invoke(run, typed, catch_exceptions=False)
    assert done.stdout.strip() == (again or shlex.join(["icfqueue", "run", *typed]))


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
