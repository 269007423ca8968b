"""``icfqueue metrics``: says where the numbers are, and ends as it is told to."""

from __future__ import annotations

import pytest
from support.command_line import Commands

from icfqueue.core.errors import UsageError


@pytest.mark.usefixtures("told_to_end")
def test_it_says_where_they_are_and_ends_in_order(icfqueue: Commands) -> None:
    store = str(icfqueue.store.root)
    done = icfqueue.plain("metrics", "--port", "0", "--store-dir", store)
    assert done.code == 0
    assert done.out.startswith("metrics are at http://127.0.0.1:")


def test_a_folder_that_is_not_there_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError):
        icfqueue.plain("metrics", "--port", "0", "--store-dir", "/nowhere/at/all")
