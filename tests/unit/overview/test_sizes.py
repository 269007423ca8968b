"""Sums of bytes: each visit once, and steady where all sizes are known."""

from __future__ import annotations

import pytest

from icfqueue.core.visit import Visit
from icfqueue.overview.estimate import Estimate, Task
from icfqueue.overview.sizes import Sizes, amounts

V, W = Visit("p", "v"), Visit("p", "w")


def test_of_what_was_told_of_one_attempt_the_least_is_right() -> None:
    """What came may be newer than what is to come."""
    sizes = Sizes()
    for told in (1000, 1020, 1007):
        assert sizes.announce(V, 1, told).size == 1000
    assert sizes.total == 1000
    assert sizes.certain


def test_a_download_that_goes_on_moves_the_rest_of_the_same_size() -> None:
    sizes = Sizes()
    sizes.announce(V, 1, 1000)
    told = sizes.announce(V, 2, 400)
    assert (told.to_move, told.size, sizes.of(V)) == (400, 1000, 1000)
    assert sizes.certain


def test_a_rest_of_which_the_whole_was_not_seen_is_not_certain() -> None:
    sizes = Sizes()
    sizes.announce(V, 3, 400)
    assert not sizes.certain
    sizes.recorded(V)
    assert (sizes.certain, sizes.total, sizes.of(V)) == (True, 0, None)


def test_a_sum_of_known_sizes_stays_whatever_becomes_of_the_visits() -> None:
    """Announced, then recorded; and one that failed is behind."""
    estimate, sizes = Estimate(1), Sizes()
    sizes.announce(V, 1, 1000)
    sizes.announce(W, 1, 500)
    running = [Task("fetch", 1000, moved=200), Task("fetch", 500)]
    found = [amounts(estimate, 0, sizes, running, [], count=0)]
    sizes.recorded(V)
    after = [Task("index_tar", 1000), Task("fetch", 500)]
    found.append(amounts(estimate, 1000, sizes, after, [], count=0))
    found.append(amounts(estimate, 1000, sizes, [Task("index_tar", 1000)], [], count=0))
    assert [one.total for one in found] == [1500.0] * 3
    assert not any(one.estimated for one in found)
    assert [one.done for one in found] == sorted(one.done for one in found)


def test_sizes_that_are_not_known_are_taken_from_others_and_that_is_said() -> None:
    estimate, sizes = Estimate(1), Sizes()
    waiting = [Task("fetch"), Task("fetch")]
    assert amounts(estimate, 0, sizes, [], waiting, count=2).total is None
    estimate.learn_size(300)
    found = amounts(estimate, 300, sizes, [], waiting, count=6)
    assert (found.total, found.estimated) == (300 + 6 * 300, True)
    assert found.done == pytest.approx(300)
