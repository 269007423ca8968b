"""A project at a moment: who counts as what."""

from __future__ import annotations

from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.overview.picture import AtWork, Picture


def test_who_stands_between_two_steps_is_under_way() -> None:
    counts = dict.fromkeys(State, 0) | {State.QUEUED: 5, State.RUNNING: 2, State.DONE: 3}
    lined_up = dict.fromkeys(NAMES, 0) | {"fetch": 4, "write_json": 1}
    found = Picture("p", counts, lined_up, {}, [], {}, 0.0, None, 0, None, None)
    assert (found.queued, found.under_way, found.active, found.visits) == (4, 3, 7, 10)
    assert not found.drained


def test_where_no_worker_lives_nothing_is_between_two_steps() -> None:
    """As in the status: all of it waits for somebody."""
    counts = dict.fromkeys(State, 0) | {State.QUEUED: 5}
    lined_up = dict.fromkeys(NAMES, 0) | {"fetch": 1, "write_json": 4}
    found = Picture(
        "p", counts, lined_up, {}, [], {}, 0.0, None, 0, None, None, manned=False
    )
    assert (found.queued, found.under_way, found.visits) == (5, 0, 5)


def test_what_is_left_of_a_step_is_told_by_what_it_has_moved() -> None:
    one = AtWork(Visit("p", "v"), "fetch", "h:1", 4.0, moved=10, to_move=50, rate=5.0)
    assert (one.task.size, one.task.moved, one.task.moving) == (50, 10, 2.0)
