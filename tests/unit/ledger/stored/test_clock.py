"""The server's time is asked for seldom, and known without an answer."""

from __future__ import annotations

import time

import pytest
import redis
from support.waiting import Clock

from icfqueue.ledger.stored import clock
from icfqueue.ledger.stored.clock import KEEP, ServerClock


class Server:
    """Tells a time of its own, or nothing."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25
        self.asked = 0
        self.away = False

    def time(self) -> tuple[int, int]:
        self.asked += 1
        if self.away:
            raise redis.ConnectionError("away")
        return int(self.now), int(self.now % 1 * 1e6)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """This machine's monotonic clock, moved by hand."""
    made = Clock()
    monkeypatch.setattr(clock, "time", made)
    return made


def test_the_servers_time_goes_on_with_this_machines_monotonic_clock(here: Clock) -> None:
    server = Server()
    shared = ServerClock(server)  # type: ignore[arg-type]  # what is asked of it
    assert shared.now() == server.now
    here.now += KEEP - 1
    assert shared.now() == server.now + KEEP - 1
    assert server.asked == 1


def test_a_clock_that_was_set_is_followed_at_the_next_question(here: Clock) -> None:
    server = Server()
    shared = ServerClock(server)  # type: ignore[arg-type]  # what is asked of it
    shared.now()
    server.now -= 3600
    here.now += KEEP + 1
    assert shared.now() == server.now


def test_a_broker_that_is_away_is_not_waited_for_if_its_time_is_known(here: Clock) -> None:
    server = Server()
    shared = ServerClock(server)  # type: ignore[arg-type]  # what is asked of it
    shared.now()
    server.away = True
    here.now += 10 * KEEP
    assert shared.now() == server.now + 10 * KEEP
    with pytest.raises(redis.ConnectionError):
        ServerClock(server).now()  # type: ignore[arg-type]  # what is asked of it


def test_it_is_this_machines_time_where_the_server_is_on_it() -> None:
    class Here:
        def time(self) -> tuple[int, int]:
            now = time.time()
            return int(now), int(now % 1 * 1e6)

    assert ServerClock(Here()).now() == pytest.approx(time.time(), abs=1.0)  # type: ignore[arg-type]  # what is asked of it


def test_by_how_much_a_clock_was_set_is_told_once(here: Clock) -> None:
    """Whoever asked for the time meanwhile has not told it."""
    server = Server()
    shared = ServerClock(server)  # type: ignore[arg-type]  # what is asked of it
    assert shared.stepped() == 0.0
    here.now += 10
    server.now += 10
    assert shared.stepped() == 0.0
    server.now -= 3600
    here.now += 2 * KEEP
    server.now += 2 * KEEP
    shared.now()
    assert shared.stepped() == pytest.approx(-3600)
    assert shared.stepped() == 0.0
