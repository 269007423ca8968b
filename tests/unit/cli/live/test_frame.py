"""A project at a moment fits any terminal: columns go, ids stay whole."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from icfqueue.cli.live.frame import Column, amounts, counts, frame, laid_out, roster_lines
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.roster import JobSign, Sign
from icfqueue.overview.picture import AtWork, Picture, Retry
from icfqueue.overview.standstill import Reason

MB = 1_000_000


def a_picture() -> Picture:
    """Return a project of which something of everything is to be seen."""
    counted = dict.fromkeys(State, 0) | {
        State.DONE: 12,
        State.RUNNING: 2,
        State.QUEUED: 30,
        State.WAITING: 1,
        State.FAILED: 3,
    }
    visits = [Visit("study_9", f"sub-{number:03d}_ses-1") for number in range(2)]
    return Picture(
        project="study_9",
        counts=counted,
        lined_up=dict.fromkeys(NAMES, 0) | {"fetch": 28, "export_repo": 2},
        at_work={"fetch": 1, "index_tar": 1},
        running=[
            AtWork(visits[0], "fetch", "vm:1", 61.0, 15 * MB, 400 * MB, rate=0.25 * MB),
            AtWork(visits[1], "index_tar", "vm:2", 0.4),
        ],
        rates={"fetch": 0.25 * MB},
        done=155 * MB,
        total=2000 * MB,
        dicoms=100,
        left=7322.0,
        retry=Retry(Visit("study_9", "sub-033_ses-1"), 12.0, {"message": "reset by peer"}),
    )


def test_what_is_between_two_steps_is_under_way_and_not_queued() -> None:
    told = {word: number for number, word, _ in counts(a_picture())}
    assert told == {"done": 12, "under way": 4, "queued": 28, "waiting": 1, "failed": 3}
    assert sum(told.values()) == a_picture().visits


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_a_frame_fits_the_terminal_and_cuts_no_id(width: int) -> None:
    lines = [line.plain for line in frame(a_picture(), [], width, 24)]
    tables = [line for line in lines if "_ses-1" in line and "next try" not in line]
    (bar,) = [line for line in lines if " % " in line]
    head = lines[: lines.index(bar)]
    assert all(cell_len(line) <= width for line in [*head, *tables, bar])
    # No number is torn from its word.
    assert " ".join(" ".join(head).split()) == (
        "study_9 48 visits 12 done 4 under way 28 queued 1 waiting 3 failed"
    )
    assert all(re.search(r"[a-z]$", line) for line in head)
    assert [line.split()[0] for line in tables] == ["sub-000_ses-1", "sub-001_ses-1"]
    assert "8 %" in bar
    assert "155.0 MB of 2.0 GB" in bar
    assert "about 2 h 02 min left" in bar
    assert ("vm:1" in tables[0]) is (width >= 80)
    assert "next try: sub-033_ses-1 in 12 s, because reset by peer" in lines


def test_of_many_steps_at_work_those_are_shown_that_there_is_room_for() -> None:
    one = a_picture().running[0]
    visits = [Visit("study_9", f"sub-{number:03d}") for number in range(100)]
    many = replace(a_picture(), running=[replace(one, visit=visit) for visit in visits])
    lines = [line.plain for line in frame(many, [], 80, 24)]
    assert len(lines) < 24
    assert sum(" fetch " in line for line in lines) + int(lines[-2].split()[2]) == 100
    assert lines[-2].endswith(" more")


def test_why_nothing_moves_is_told_with_what_helps() -> None:
    reasons = [Reason("disk", "it is full\x1b[2J", "make room")]
    lines = [line.plain for line in frame(a_picture(), reasons, 80, 24)]
    assert lines[-2:] == ["it is full\\x1b[2J", "  make room"]


def test_a_total_with_sizes_that_are_not_known_is_marked() -> None:
    assert "155.0 MB of 2.0 GB" in amounts(a_picture())
    assert "155.0 MB of ~2.0 GB" in amounts(replace(a_picture(), estimated=True))


def test_the_next_try_is_told_once() -> None:
    reasons = [Reason("waiting", "nothing moves: all 2 that are left wait for another try")]
    lines = [line.plain for line in frame(a_picture(), reasons, 80, 24)]
    assert sum("12 s" in line for line in lines) == 1
    assert sum("next try" in line for line in lines) == 1


def test_while_the_last_steps_are_at_work_neither_all_is_behind_nor_no_time_left() -> None:
    read = replace(a_picture(), done=2000.0 * MB, left=0.0)
    assert amounts(read) == "99 %  2.0 GB of 2.0 GB  about 1 s left"
    assert amounts(replace(read, left=1.5)).endswith("about 1.5 s left")
    over = replace(read, counts=dict.fromkeys(State, 0) | {State.DONE: 48})
    assert amounts(over).startswith("100 %")


@pytest.mark.parametrize(
    ("code", "told"), [("workers", False), ("waiting", True), ("indexes", True)]
)
def test_where_nobody_knows_when_it_goes_on_no_time_left_is_told(
    code: str, *, told: bool
) -> None:
    lines = [line.plain for line in frame(a_picture(), [Reason(code, "so")], 80, 24)]
    assert any("left" in line for line in lines) is told


def test_before_the_size_of_all_is_known_what_came_so_far_is_told() -> None:
    unknown = replace(a_picture(), total=None, done=0.0, left=None)
    assert amounts(unknown) == "15.0 MB so far"
    assert amounts(replace(unknown, running=[])) == "nothing was read yet"


def test_the_lightest_columns_are_left_out_first_and_what_stays_is_whole() -> None:
    columns = [
        Column(["visit", "v"]),
        Column(["heavy", ""], 2),
        Column(["light", "x"], 1, right=True),
    ]
    assert laid_out(columns, 40) == ["visit  heavy  light", "v                 x"]
    assert laid_out(columns, 18) == ["visit  heavy", "v"]
    assert laid_out(columns, 3) == ["visit", "v"]


def test_workers_are_counted_where_there_is_more_to_them_than_this_project() -> None:
    job = JobSign(project="study_1", visit="v", step="fetch", since=0.0)
    one = Sign(name="a:1", host="a", pid=1, since=0.0, processes=2)
    other = Sign(name="b:1", host="b", pid=1, since=0.0, processes=4, jobs=(job,))
    assert roster_lines(replace(a_picture(), signs=[one])) == []
    (line,) = roster_lines(replace(a_picture(), signs=[one, other]))
    assert line.plain == (
        "2 workers on 2 hosts, 6 processes, 1 of them at work for other projects"
    )
