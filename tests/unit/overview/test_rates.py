"""Rates are those of the time in which anybody was at work."""

from __future__ import annotations

import pytest

from icfqueue.core.visit import Visit
from icfqueue.overview.rates import WINDOW, Flow, Flows, Speed

V = Visit("p", "v")


def test_what_a_step_took_to_begin_is_no_part_of_its_speed() -> None:
    speed = Speed()
    who = (V, "fetch")
    assert [speed.note(who, s, m) for s, m in ((5.0, 0), (6.0, 100), (8.0, 300))] == [
        None,
        None,
        100.0,
    ]
    # Another try begins anew.
    assert speed.note(who, 1.0, 50) is None
    assert speed.forget(who) is None


def test_time_in_which_all_waited_is_no_part_of_a_rate() -> None:
    flow = Flow()
    for second in range(4):
        flow.passed = 100.0 * second
        flow.look(float(second), at_work=True)
    assert flow.rate == pytest.approx(100.0)
    for second in range(4, 8):
        flow.look(float(second), at_work=False)
    # The look at which it had ended was part of it, at most.
    assert flow.rate == pytest.approx(75.0)
    for second in range(8, 12 + int(WINDOW)):
        flow.look(float(second), at_work=False)
    assert flow.rate == 0.0


def test_a_step_that_nobody_saw_counts_with_the_time_since_the_last_look() -> None:
    flows = Flows()
    flows.look(0.0, [])
    flows.ended(V, "index_tar", 500)
    flows.look(2.0, [])
    assert flows.rates() == {"index_tar": 250.0}


def test_no_byte_is_counted_twice() -> None:
    flows = Flows()
    flows.look(0.0, ["fetch"])
    flows.moved(V, "fetch", 300)
    flows.moved(V, "fetch", 400)
    flows.ended(V, "fetch", 500)
    flows.look(1.0, ["fetch"])
    assert flows.rates() == {"fetch": 500.0}
