"""The pace at which a body must come, and what the store tells of a file."""

from __future__ import annotations

import pytest

from icfqueue.core.errors import NetworkTrouble
from icfqueue.remote.download import Clock, Pace, RemoteFile, check_md5


def test_if_range_carries_a_strong_tag_or_else_the_date() -> None:
    """RFC 9110, 13.1.5: a weak tag proves nothing about bytes."""
    assert RemoteFile(1, '"strong"', "yesterday").validator == '"strong"'
    assert RemoteFile(1, 'W/"weak"', "yesterday").validator == "yesterday"
    assert RemoteFile(1).validator is None


def test_the_pace_is_an_average_over_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("icfqueue.remote.download.time.monotonic", lambda: now)
    pace = Pace("http://x", 10.0, 60.0, Clock())
    # Nothing for 59 seconds, then enough: as slow as it may be, for ever.
    for minute in range(1, 100):
        now = minute * 60 - 1
        pace.count(599)
        now = minute * 60
        pace.count(1)
    now += 60
    with pytest.raises(NetworkTrouble, match="sent 599 bytes in 60 s"):
        pace.count(599)


def test_a_pace_remembers_that_it_was_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("icfqueue.remote.download.time.monotonic", lambda: now)
    pace = Pace("http://x", 10.0, 60.0, Clock())
    pace.count(1)
    assert not pace.too_slow
    now = 60.0
    with pytest.raises(NetworkTrouble):
        pace.count(1)
    assert pace.too_slow


def test_what_arrived_is_compared_if_there_is_something_to_compare_it_with() -> None:
    check_md5("http://x", "a", None)
    check_md5("http://x", "a", "a")
    with pytest.raises(NetworkTrouble, match="the MD5 a; the store publishes b") as caught:
        check_md5("http://x", "a", "b")
    assert caught.value.cause == "checksum"
