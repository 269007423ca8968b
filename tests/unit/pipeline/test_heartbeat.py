"""The guard over a step: leases renewed, work called off, children ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import psutil
import pytest
import redis
from support.valkey import Valkey
from support.waiting import Clock, pass_time, wait_until

from icfqueue.core.errors import IcfqueueError, Interrupted, LeaseLost, Stalled
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import key
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline import heartbeat
from icfqueue.pipeline.heartbeat import Heartbeat, Stopping

V = Visit("p", "v")
W = Visit("p", "w")


@pytest.fixture(autouse=True)
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)


@pytest.fixture
def held(ledger: RedisLedger) -> RedisLedger:
    """Two visits whose leases are held with the tokens "t" and "u"."""
    for visit, token in ((V, "t"), (W, "u")):
        new = record.new(visit, Options("https://x"), 0, 1.0)
        ledger.put_many([(None, new)])
        ledger.update(
            visit, lambda r, token=token: record.claimed(r, token, "w", 1.0), lease=1.0
        )
    return ledger


@pytest.fixture
def guard(held: RedisLedger) -> Callable[..., Heartbeat]:
    def make(**more: Any) -> Heartbeat:
        chosen = {"lease": 1.0, "stall": 60.0, **more}
        return Heartbeat(held, held, {V: "t", W: "u"}, **chosen)

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the guard sees."""
    made = Clock()
    monkeypatch.setattr(heartbeat, "time", made)
    return made


def look(found: Heartbeat) -> None:
    """Let the guard look once, here and not in its thread."""
    with mock.patch.object(found._ended, "wait", side_effect=[False, True]):
        found._beat()


def called_off(found: Heartbeat) -> IcfqueueError:
    """Work until the work is called off."""
    wait_until(lambda: found.called_off, 20, "was called off")
    with pytest.raises(IcfqueueError) as caught:
        found.check()
    return caught.value


def left(ledger: RedisLedger) -> list[float]:
    """Return for how many more seconds the leases are good."""
    seconds, micro = ledger.client.time()
    leases = ledger.client.zrange(key("leases"), 0, -1, withscores=True)
    return [end / 1000 - seconds - micro / 1_000_000 for _, end in leases]


def test_leases_are_renewed_while_the_step_works_and_no_longer(
    held: RedisLedger, guard: Callable[..., Heartbeat]
) -> None:
    with guard(lease=60.0) as found:
        for _ in range(8):
            found.advance(bytes=100, dicoms=1)
        for _ in range(3):
            pass_time(held.client, 61.0)
            wait_until(lambda: min(left(held)) > 30.0, 20, "they are renewed")
            assert held.orphans() == []
        assert max(left(held)) <= 60.0
        wait_until(lambda: held.progress("p")["v"] == (800, 8), 20, "progress is told")
    pass_time(held.client, 61.0)
    time.sleep(0.1)
    assert set(held.orphans()) == {V, W}


def test_a_visit_that_was_taken_away_calls_the_work_off(
    held: RedisLedger, guard: Callable[..., Heartbeat]
) -> None:
    with guard() as found:
        held.update(W, lambda r: record.cancelled(r, 1.0))
        assert isinstance(called_off(found), LeaseLost)


def test_right_before_a_file_appears_the_lease_is_asked_for(
    held: RedisLedger, guard: Callable[..., Heartbeat]
) -> None:
    found = guard()
    found.before_change("x")
    held.update(V, lambda r: record.cancelled(r, 1.0))
    with pytest.raises(LeaseLost, match="refs is not published"):
        found.before_change("refs")


def test_no_progress_for_too_long_calls_the_work_off(
    guard: Callable[..., Heartbeat], clock: Clock
) -> None:
    found = guard(stall=60.0)
    for _ in range(5):
        clock.now += 59.0
        look(found)
        found.advance()
    clock.now += 61.0
    look(found)
    with pytest.raises(Stalled) as caught:
        found.check()
    assert caught.value.kind == "transient"


def test_at_a_stop_the_step_has_its_grace_period_and_no_more(
    guard: Callable[..., Heartbeat], clock: Clock
) -> None:
    since = clock.now
    stopping = Stopping(lambda: since, grace=20.0)
    assert stopping.asked
    found = guard(stopping=stopping)
    clock.now += 19.0
    assert not stopping.over
    look(found)
    found.check()
    clock.now += 2.0
    assert stopping.over
    look(found)
    with pytest.raises(Interrupted):
        found.check()
    assert not Stopping().asked
    assert not Stopping().over


def test_a_lock_is_renewed_with_the_leases_and_losing_it_calls_the_work_off(
    held: RedisLedger, guard: Callable[..., Heartbeat]
) -> None:
    assert held.locks.take("catalog:p", "mine", 30.0)
    name = key("lock", "catalog:p")
    with guard(lease=60.0, lock=("catalog:p", "mine")) as found:
        for _ in range(3):
            wait_until(lambda: held.client.pttl(name) > 45_000, 20, "it is renewed")
            pass_time(held.client, 40.0)
        assert not held.locks.take("catalog:p", "other", 0.1)
        found.before_change("x")
        held.locks.release("catalog:p", "mine")
        while not held.locks.take("catalog:p", "other", 30.0):
            held.locks.release("catalog:p", "mine")
        assert isinstance(called_off(found), LeaseLost)


CHILD = """
import subprocess, time
subprocess.Popen(["sleep", "60"])
print(1, flush=True)
time.sleep(60)
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child of its own, in a group of its own, as git-annex is run."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline()
    yield process
    process.stdout.close()
    process.wait()


def group(leader: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != "zombie":
                found.append(process.pid)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def test_a_tool_and_its_children_end_when_the_work_is_called_off(
    held: RedisLedger, guard: Callable[..., Heartbeat], child: subprocess.Popen[bytes]
) -> None:
    with guard() as found, found.minding(child):
        assert len(group(child.pid)) == 2
        held.update(V, lambda r: record.cancelled(r, 1.0))
        assert child.wait(20) < 0
        called_off(found)
    wait_until(lambda: not group(child.pid), 20, "its children have ended, too")


def test_a_tool_that_is_started_after_the_work_was_called_off_ends_at_once(
    held: RedisLedger, guard: Callable[..., Heartbeat], child: subprocess.Popen[bytes]
) -> None:
    with guard() as found:
        held.update(V, lambda r: record.cancelled(r, 1.0))
        called_off(found)
        with pytest.raises(LeaseLost), found.minding(child):
            pytest.fail("went on")
    assert child.returncode is not None


def test_a_step_that_does_not_end_is_given_up(
    guard: Callable[..., Heartbeat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "LAST_WORD", 0.1)
    given_up = threading.Event()
    why: list[IcfqueueError] = []

    def give_up(error: IcfqueueError) -> None:
        why.append(error)
        given_up.set()

    with guard(stall=0.1, give_up=give_up):
        assert given_up.wait(20)
    assert isinstance(why[0], Stalled)


def test_while_the_broker_is_away_the_step_works_on(
    valkey: Valkey, held: RedisLedger, guard: Callable[..., Heartbeat]
) -> None:
    """Only a file may not be published: for that a broker that is away is waited for."""
    with valkey.broker.connect(patient=True) as client:
        found = guard()
        found.ledger = RedisLedger(client)
        with found:
            valkey.kill()
            time.sleep(0.2)
            found.advance(bytes=1)
            comes_back = threading.Event()

            def come_back() -> None:
                comes_back.set()
                valkey.start()

            timer = threading.Timer(0.3, come_back)
            timer.start()
            found.before_change("x")
            assert comes_back.is_set()
            timer.join()
        assert held.get(V)


def test_a_lock_that_was_lost_is_not_taken_again_even_if_it_is_free(
    ledger: RedisLedger,
) -> None:
    assert ledger.locks.take("catalog:p", "mine", 0.05)
    time.sleep(0.1)
    with ledger.locks.holding("catalog:p", 5.0) as other:
        assert other
    with (
        Heartbeat(
            ledger, ledger, {}, lease=5.0, stall=60.0, lock=("catalog:p", "mine")
        ) as guard,
        pytest.raises(LeaseLost),
    ):
        guard.before_change("index.html")


@pytest.mark.parametrize("away", [True, False])
def test_a_broker_that_is_away_or_late_for_longer_than_a_stall_is_no_stall(
    guard: Callable[..., Heartbeat],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    away: bool,
) -> None:
    renew = RedisLedger.renew_all

    def late(*args: Any) -> bool:
        clock.now += 100.0
        if away:
            raise redis.TimeoutError("no answer")
        return renew(*args)

    found = guard(stall=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(RedisLedger, "renew_all", late)
        look(found)
        found.check()
        if not away:
            # Called by the step itself; one that is away is waited for there.
            found.before_change("a file")
    look(found)
    found.advance()
    clock.now += 61.0
    look(found)
    with pytest.raises(Stalled):
        found.check()


# Room on the disk


@pytest.fixture
def downloading(held: RedisLedger) -> Callable[..., Heartbeat]:
    def make(visit: Visit = V, lease: float = 60.0) -> Heartbeat:
        token = {V: "t", W: "u"}[visit]
        return Heartbeat(held, held, {visit: token}, lease=lease, stall=60.0)

    return make


def test_room_is_promised_once_and_given_back(
    held: RedisLedger, downloading: Callable[..., Heartbeat]
) -> None:
    room = held.room
    with downloading(V) as first, downloading(W) as second:
        assert first.promise_room(70, lambda: 100).granted
        assert second.promise_room(40, lambda: 100) == (False, 70)
        assert second.promise_room(30, lambda: 100).granted
        assert room.promised() == {str(V): 70, str(W): 30}
    assert room.promised() == {}


def test_what_was_received_needs_no_promise_and_the_rest_is_renewed(
    held: RedisLedger, downloading: Callable[..., Heartbeat]
) -> None:
    """As long as the lease, also beyond the end that the promise had at first."""
    room = held.room
    with downloading() as found:
        found.advance(bytes=1000)
        assert found.promise_room(70, lambda: 100).granted
        found.advance(bytes=50)
        wait_until(lambda: room.promised() == {str(V): 20}, 20, "the rest is promised")
        for _ in range(3):
            pass_time(held.client, 59.0)
            found.before_change("x")
        answer = room.promise(W, "u", 90, 100, 1.0)
        assert answer == (False, 20)
        found.advance(bytes=500)
        found.before_change("x")
        assert room.promised() == {str(V): 0}


def test_room_that_went_while_it_was_promised_is_not_promised(
    held: RedisLedger, downloading: Callable[..., Heartbeat]
) -> None:
    """Somebody wrote the last of his bytes between the look and the promise."""
    looks = iter([100, 40])
    with downloading() as found:
        assert found.promise_room(70, lambda: next(looks)) == (False, 0)
        assert held.room.promised() == {}


def test_the_promise_of_a_visit_that_another_took_over_is_his(
    held: RedisLedger, downloading: Callable[..., Heartbeat]
) -> None:
    room = held.room
    with downloading() as sleeper:
        assert sleeper.promise_room(70, lambda: 100).granted
        held.update(V, record.orphaned)
        held.update(V, lambda r: record.claimed(r, "next", "w", 1.0), lease=60.0)
        assert room.promise(V, "next", 50, 100, 60.0).granted
        assert isinstance(called_off(sleeper), LeaseLost)
    assert room.promised() == {str(V): 50}


def test_without_a_queue_there_is_room_if_it_is_free() -> None:
    assert UNGUARDED.promise_room(100, lambda: 100).granted
    assert UNGUARDED.promise_room(101, lambda: 100) == (False, 0)
    assert UNGUARDED.promise_room(0, lambda: -5).granted
