"""A project as it is shown: which visits, how many lines, what can be done."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from support.ledger import claim, put
from support.records import a_record, troubled_project

from icfqueue.cli.display import project
from icfqueue.cli.display.project import FEW, ProjectView
from icfqueue.cli.display.terminal import show
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.status import Wanted


@pytest.fixture
def full(ledger: RedisLedger) -> RedisLedger:
    """A project with one visit in each state."""
    ledger.put_many([(None, a_record(state)) for state in State])
    return ledger


def seen(
    view: ProjectView, room: int | None = None, width: int = 80, *, terminal: bool = True
) -> list[str]:
    where = io.StringIO()
    console = Console(file=where, width=width, force_terminal=terminal, color_system=None)
    show(console, view.shown(room=room))
    return [line.rstrip() for line in where.getvalue().splitlines()]


def first_words(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line[:1].strip()]


def test_2000_visits_with_508_failures_of_three_causes_are_at_most_25_lines(
    ledger: RedisLedger,
) -> None:
    """As lines of the terminal, too: a long command takes two."""
    ledger.put_many([(None, each) for each in troubled_project()])
    view = ProjectView(ledger, "study_1")
    assert len(seen(view, terminal=False)) <= 25
    for width in (60, 80, 120, 200, 300):
        lines = seen(view, width=width)
        assert sum(-(-len(line) // width) or 1 for line in lines) <= 25
        said = "\n".join(lines)
        assert all(f"{n} \u00d7 {c}" in said for n, c in ((445, "cut"), (32, "network")))
        assert "list: icfqueue status study_1 --cause cut    # or network, gzip" in said
        assert "each visit: icfqueue status study_1 --all" in said


def test_a_small_project_shows_every_visit_with_its_error_and_what_to_do(
    full: RedisLedger,
) -> None:
    lines = seen(ProjectView(full, "study_1"), width=100)
    assert first_words(lines)[:8] == ["study_1:", "visit", *sorted(State)]
    assert '  damaged: member x, "y" is cut' in lines
    assert "      then: icfqueue retry study_1 --cause damaged" in lines
    assert not [line for line in lines if "list:" in line or "--all" in line]


def test_a_number_is_not_parted_from_what_it_is_of(full: RedisLedger) -> None:
    assert seen(ProjectView(full, "study_1"), width=60)[:2] == [
        "study_1: 6 visits    1 queued  1 running  1 waiting  1 done",
        "1 failed  1 cancelled",
    ]


def test_of_a_longer_project_those_at_work_are_shown(ledger: RedisLedger) -> None:
    for number in range(FEW + 1):
        put(ledger, Visit("study_1", f"v{number:02}"))
    for number in range(7):
        claim(ledger, Visit("study_1", f"v{number:02}"))
    ledger.worker_lives("host:1")
    lines = seen(ProjectView(ledger, "study_1"))
    assert [word for word in first_words(lines) if word[0] == "v"] == [
        "visit",
        *(f"v{number:02}" for number in range(5)),
    ]
    assert "… and 2 more at work: icfqueue status study_1 --state running" in lines


def test_of_a_longer_project_it_is_said_why_visits_wait(ledger: RedisLedger) -> None:
    waiting = a_record(State.WAITING)
    visits = [Visit("study_1", f"v{number:02}") for number in range(FEW + 1)]
    ledger.put_many([(None, replace(waiting, visit=visit)) for visit in visits])
    lines = seen(ProjectView(ledger, "study_1"))
    assert f"  {FEW + 1} \u00d7 network, e.g. v00: tried again now" in lines


def test_visits_that_are_asked_for_are_listed_however_many(ledger: RedisLedger) -> None:
    ledger.put_many([(None, each) for each in troubled_project(done=3, failed=60)])
    wanted = Wanted(causes={"gzip", "network"})
    lines = seen(ProjectView(ledger, "study_1", wanted, listed=True))
    assert first_words(lines)[2:] == [
        f"sub-{number:04}" for number in (7, 15, 23, 31, 39, 47, 55)
    ]
    # The remedies are those of what is listed.
    assert "  4 \u00d7 network, e.g. sub-0007: check network" in lines
    assert not [line for line in lines if "cut" in line]
    nothing = ProjectView(ledger, "study_1", Wanted(causes={"disk"}), listed=True)
    there = "cut (53), network (4), gzip (3)"
    assert seen(nothing, width=120)[1] == (
        f"no visit of study_1 has the cause 'disk'; there are: {there}"
    )
    running = ProjectView(ledger, "study_1", Wanted((State.RUNNING,)), listed=True)
    assert seen(running)[1] == "no visit of study_1 is running; there are 3 done, 60 failed"
    one = Wanted((State.RUNNING,), among=[Visit("study_1", "sub-0001")])
    assert seen(ProjectView(ledger, "study_1", one, listed=True))[1] == (
        "none of the visits named is running; of all there are 3 done, 60 failed"
    )


def test_where_there_is_not_room_for_all_visits_those_at_work_are_shown_first(
    full: RedisLedger,
) -> None:
    full.worker_lives("host:1")
    lines = seen(ProjectView(full, "study_1"), room=9, width=100)
    assert first_words(lines)[2:4] == ["running", "failed"]
    assert "… and 4 more" in lines
    done = ProjectView(full, "study_1", Wanted((State.DONE,)), listed=True)
    assert not [line for line in seen(done, room=8) if "more" in line]
    some = Wanted(among=[Visit("study_1", "done"), Visit("study_1", "queued")])
    lines = seen(ProjectView(full, "study_1", some, listed=True), room=8, width=100)
    assert first_words(lines)[2:] == ["done", "queued"]


def test_causes_of_many_failures_are_not_asked_for_at_every_look(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100,000 visits that would take seconds."""
    ledger.put_many([(None, each) for each in troubled_project(done=1, failed=50)])
    asked = []
    by_cause = project.by_cause
    monkeypatch.setattr(
        project,
        "by_cause",
        lambda *words, **more: asked.append(1) or by_cause(*words, **more),
    )
    view = ProjectView(ledger, "study_1")
    first = seen(view)
    assert seen(view) == first
    assert len(asked) == 1
    view._next = 0.0
    assert seen(view) == first
    assert len(asked) == 2


def test_a_record_that_cannot_be_read_is_shown_and_counted(full: RedisLedger) -> None:
    full.client.hset(visit_key(Visit("study_1", "failed")), "r", "{")
    said = "\n".join(seen(ProjectView(full, "study_1")))
    assert "unreadable" in said
    assert "1 \u00d7 unreadable, failed: `icfqueue forget study_1 failed`" in said
