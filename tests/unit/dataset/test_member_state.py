"""The remote state that says where in a tarball an image begins."""

from __future__ import annotations

import pytest

from icfqueue.dataset.member_state import decode_state, encode_state, state_log


@pytest.mark.parametrize(
    ("offsets", "state"),
    [([512], "offset=512"), ([2048, 512, 2048], "offset=512,2048"), ([0], "offset=0")],
)
def test_what_was_written_is_read_again_in_order_and_once(
    offsets: list[int], state: str
) -> None:
    assert encode_state(offsets) == state
    assert decode_state(state) == sorted(set(offsets))


@pytest.mark.parametrize(
    "state",
    [
        "",
        "offset=",
        "offset=1,",
        "offset=-1",
        "offset=1 2",
        "size=3",
        "offset=" + "9" * 20,
        "offset=\u0663",
        "offset=1\n",
    ],
)
def test_a_state_that_is_not_ours_tells_nothing(state: str) -> None:
    assert decode_state(state) == []


def test_the_log_has_time_remote_and_state() -> None:
    """As git-annex's page on its internals has it; read back in the integration tests."""
    assert state_log(b"1577836800s", b"uuid", [7]) == b"1577836800s uuid offset=7\n"
