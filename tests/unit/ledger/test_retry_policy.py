"""Whether and when to try again: a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.core.errors import (
    AccessDenied,
    BadTarball,
    DiskTrouble,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    Stalled,
    StepError,
    StoreBusy,
    ToolFailed,
)
from icfqueue.ledger.retry_policy import Fail, RetryIn, RetryPolicy, decide

POLICY = RetryPolicy(max_attempts=4, base=10.0, cap=60.0)


@pytest.mark.parametrize("cls", [BadTarball, AccessDenied, NotInStore, PermanentError])
def test_permanent_failures_are_not_tried_again(cls: type[StepError]) -> None:
    assert decide(cls("x"), 1, POLICY, 0.5) == Fail()


@pytest.mark.parametrize(
    "cls", [NetworkTrouble, StoreBusy, DiskTrouble, ToolFailed, Stalled]
)
@pytest.mark.parametrize(
    ("faults", "jitter", "expected"),
    [
        (1, 0.0, RetryIn(5.0)),
        (1, 1.0, RetryIn(10.0)),
        (2, 0.0, RetryIn(10.0)),
        (2, 0.5, RetryIn(15.0)),
        (3, 1.0, RetryIn(40.0)),
        (4, 0.0, Fail()),
        (5, 0.0, Fail()),
    ],
)
def test_transient_failures_wait_twice_as_long_each_time_and_end_at_the_limit(
    cls: type[StepError], faults: int, jitter: float, expected: Fail | RetryIn
) -> None:
    assert decide(cls("x"), faults, POLICY, jitter) == expected


def test_with_one_attempt_in_all_nothing_is_retried() -> None:
    assert decide(ToolFailed("x"), 1, RetryPolicy(1, 10.0, 60.0), 0.0) == Fail()


@pytest.mark.parametrize(("asked", "waits"), [(None, 5.0), (2.0, 5.0), (3600.0, 3600.0)])
def test_a_wait_is_at_least_what_the_store_asked_for(
    asked: float | None, waits: float
) -> None:
    assert decide(StoreBusy("x", retry_after=asked), 1, POLICY, 0.0) == RetryIn(waits)


@given(
    faults=st.integers(1, 100_000),
    jitter=st.floats(0, 1, exclude_max=True),
    base=st.floats(0.001, 1e4),
    cap=st.floats(0.001, 1e6),
)
def test_a_wait_lies_in_the_upper_half_below_the_cap(
    faults: int, jitter: float, base: float, cap: float
) -> None:
    found = decide(NetworkTrouble("x"), faults, RetryPolicy(10**9, base, cap), jitter)
    assert isinstance(found, RetryIn)
    ceiling = min(cap, base * 2.0 ** min(faults - 1, 60))
    assert 0.5 * ceiling <= found.seconds <= ceiling
