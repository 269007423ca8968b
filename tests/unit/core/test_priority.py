"""How urgent a visit is, and the level of its message."""

from __future__ import annotations

from icfqueue.core.priority import LEVELS, MAX_PRIORITY, level_of


def test_every_level_is_that_of_one_priority_begun_or_not() -> None:
    found = [
        level_of(priority, begun=begun)
        for begun in (True, False)
        for priority in range(MAX_PRIORITY, -1, -1)
    ]
    assert found == list(LEVELS)


def test_what_has_begun_comes_before_the_most_urgent_that_has_not() -> None:
    assert level_of(0, begun=True) < level_of(MAX_PRIORITY, begun=False)
