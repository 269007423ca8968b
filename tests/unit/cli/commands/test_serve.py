"""``icfqueue serve``: says where the store is, and ends as it is told to."""

from __future__ import annotations

import pytest
from support.command_line import Commands

from icfqueue.core.errors import UsageError


@pytest.mark.usefixtures("told_to_end")
def test_it_says_where_the_store_is_and_ends_in_order(icfqueue: Commands) -> None:
    store = str(icfqueue.store.root)
    done = icfqueue.plain("serve", "--port", "0", "--store-dir", store)
    assert done.code == 0
    assert done.out.startswith(f"{store} is at http://127.0.0.1:")


def test_elsewhere_than_on_loopback_it_wants_a_password(icfqueue: Commands) -> None:
    store = str(icfqueue.store.root)
    with pytest.raises(UsageError, match="without a password") as caught:
        icfqueue.plain("serve", "--host", "0.0.0.0", "--port", "0", "--store-dir", store)
    assert "--password-file" in caught.value.hint
