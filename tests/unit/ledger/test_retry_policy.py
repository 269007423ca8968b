"""Whether and when to try again: a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.core.errors import (
    AccessDenied,
    BadMetadata,
    BadTarball,
    Crashed,
    DiskTrouble,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    PermanentError,
    Stalled,
    StepError,
    StoreBusy,
    TarballChanged,
    TarballTouched,
    ToolFailed,
    TransientError,
)
from icfqueue.ledger.retry_policy import (
    Decision,
    Fail,
    PostponeBy,
    RetryIn,
    RetryPolicy,
    decide,
)

POLICY = RetryPolicy(max_attempts=4, base=10.0, cap=60.0, disk_pause=30.0)

FULL = DiskTrouble("no space left")
UNREADABLE = DiskTrouble("one tarball cannot be read", full=False)

TABLE: list[tuple[StepError, int, float, Decision]] = [
    # Permanent: not even once more.
    *(
        (cls("x"), 1, 0.5, Fail())
        for cls in (
            AccessDenied,
            BadMetadata,
            BadTarball,
            Crashed,
            NotInStore,
            PermanentError,
            TarballChanged,
        )
    ),
    # Transient: twice as long each time, between half of it and all, to the limit.
    *(
        (error, faults, jitter, expected)
        for error in (
            NetworkTrouble("x"),
            StoreBusy("x"),
            UNREADABLE,
            TarballTouched("x"),
            ToolFailed("x"),
            Stalled("x"),
            TransientError("x"),
        )
        for faults, jitter, expected in (
            (1, 0.0, RetryIn(5.0)),
            (1, 1.0, RetryIn(10.0)),
            (2, 0.0, RetryIn(10.0)),
            (2, 0.5, RetryIn(15.0)),
            (3, 1.0, RetryIn(40.0)),
            (4, 0.0, Fail()),
            (5, 0.0, Fail()),
        )
    ),
    # No fault of the visit: put off, however often it happens, and for no random time.
    *(
        (error, faults, jitter, PostponeBy(seconds))
        for error, seconds in (
            (FULL, 30.0),
            (NoRoom("x", size=7), 30.0),
            (StoreBusy("x", retry_after=7.0), 7.0),
            (StoreBusy("x", retry_after=3600.0), 3600.0),
            (NetworkTrouble("x", retry_after=2.0), 2.0),
        )
        for faults in (1, 4, 1000)
        for jitter in (0.0, 0.9)
    ),
    # "Retry-After: 0" names no time.
    (StoreBusy("x", retry_after=0.0), 1, 0.0, RetryIn(5.0)),
    (StoreBusy("x", retry_after=0.0), 4, 0.0, Fail()),
]


@pytest.mark.parametrize(
    ("error", "faults", "jitter", "expected"),
    TABLE,
    ids=[f"{type(row[0]).__name__}-{row[1]}-{row[2]}" for row in TABLE],
)
def test_each_failure_is_decided_as_the_table_says(
    error: StepError, faults: int, jitter: float, expected: Decision
) -> None:
    assert decide(error, faults, POLICY, jitter) == expected


def test_with_one_attempt_in_all_nothing_is_retried_but_a_full_disk_still_waits() -> None:
    once = replace(POLICY, max_attempts=1)
    assert decide(ToolFailed("x"), 1, once, 0.0) == Fail()
    assert decide(FULL, 1, once, 0.0) == PostponeBy(30.0)


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
