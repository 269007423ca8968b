"""The watch over a step: leases renewed, work called off, children ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from support.valkey import Valkey

from icfqueue import heartbeat, record
from icfqueue.errors import IcfqueueError, Interrupted, LeaseLost, Stalled
from icfqueue.heartbeat import Heartbeat, Stopping
from icfqueue.job import Options
from icfqueue.ledger import Ledger
from icfqueue.visit import Visit

V = Visit("p", "v")
W = Visit("p", "w")


@pytest.fixture(autouse=True)
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)


@pytest.fixture
def held(ledger: Ledger) -> Ledger:
    """Two visits whose leases are held with the tokens "t" and "u"."""
    for visit, token in ((V, "t"), (W, "u")):
        new = record.new(visit, Options("https://x"), 0, 1.0)
        ledger.put_many([(None, new)])
        ledger.update(
            visit, lambda r, token=token: record.claimed(r, token, "w", 1.0), lease=1.0
        )
    return ledger


@pytest.fixture
def watch(held: Ledger) -> Callable[..., Heartbeat]:
    def make(**more: object) -> Heartbeat:
        chosen = {"lease": 1.0, "stall": 60.0, **more}
        return Heartbeat(held, held, {V: "t", W: "u"}, **chosen)  # type: ignore[arg-type]

    return make


def called_off(found: Heartbeat, seconds: float = 3.0) -> IcfqueueError:
    """Work until the work is called off."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        try:
            found.check()
        except IcfqueueError as error:
            return error
    raise AssertionError("was not called off")


def test_leases_are_renewed_while_the_step_works(
    held: Ledger, watch: Callable[..., Heartbeat]
) -> None:
    with watch(lease=0.3) as found:
        for _ in range(8):
            time.sleep(0.1)
            found.advance(bytes=100, dicoms=1)
            assert held.orphans() == []
        time.sleep(0.15)
        assert held.progress("p")["v"] == (800, 8)
    time.sleep(0.35)
    assert set(held.orphans()) == {V, W}


def test_a_visit_that_was_taken_away_calls_the_work_off(
    held: Ledger, watch: Callable[..., Heartbeat]
) -> None:
    with watch() as found:
        held.update(W, lambda r: record.cancelled(r, 1.0))
        assert isinstance(called_off(found), LeaseLost)


def test_right_before_a_file_appears_the_lease_is_asked_for(
    held: Ledger, watch: Callable[..., Heartbeat]
) -> None:
    found = watch()
    found.before_publish("x")
    held.update(V, lambda r: record.cancelled(r, 1.0))
    with pytest.raises(LeaseLost, match="refs is not published"):
        found.before_publish("refs")


def test_no_progress_for_too_long_calls_the_work_off(
    watch: Callable[..., Heartbeat],
) -> None:
    with watch(stall=0.3) as found:
        for _ in range(5):
            time.sleep(0.1)
            found.advance()
        error = called_off(found)
    assert isinstance(error, Stalled)
    assert error.kind == "transient"


def test_at_a_stop_the_step_has_its_grace_period_and_no_more(
    watch: Callable[..., Heartbeat],
) -> None:
    since = time.monotonic()
    stopping = Stopping(lambda: since, grace=0.2)
    assert stopping.asked
    assert not stopping.over
    with watch(stopping=stopping) as found:
        found.check()
        assert isinstance(called_off(found), Interrupted)
    assert time.monotonic() - since > 0.2
    assert not Stopping().asked


def test_a_lock_is_renewed_with_the_leases_and_losing_it_calls_the_work_off(
    held: Ledger, watch: Callable[..., Heartbeat]
) -> None:
    assert held.lock("catalog:p", "mine", 0.1)
    with watch(lock=("catalog:p", "mine")) as found:
        time.sleep(0.3)
        assert not held.lock("catalog:p", "other", 0.1)
        found.before_publish("x")
        held.unlock("catalog:p", "mine")
        while not held.lock("catalog:p", "other", 30.0):
            held.unlock("catalog:p", "mine")
        assert isinstance(called_off(found), LeaseLost)


CHILD = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"  # noqa: E501


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
    held: Ledger, watch: Callable[..., Heartbeat], child: subprocess.Popen[bytes]
) -> None:
    with watch() as found, found.minding(child):
        assert len(group(child.pid)) == 2
        held.update(V, lambda r: record.cancelled(r, 1.0))
        assert child.wait(5) < 0
        called_off(found)
    time.sleep(0.05)
    assert group(child.pid) == []


def test_a_tool_that_is_started_after_the_work_was_called_off_ends_at_once(
    held: Ledger, watch: Callable[..., Heartbeat], child: subprocess.Popen[bytes]
) -> None:
    with watch() as found:
        held.update(V, lambda r: record.cancelled(r, 1.0))
        called_off(found)
        with pytest.raises(LeaseLost), found.minding(child):
            pytest.fail("went on")
    assert child.returncode is not None


def test_a_step_that_does_not_end_is_given_up(
    watch: Callable[..., Heartbeat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "LAST_WORD", 0.1)
    given_up = threading.Event()
    why: list[IcfqueueError] = []

    def give_up(error: IcfqueueError) -> None:
        why.append(error)
        given_up.set()

    with watch(stall=0.1, give_up=give_up):
        assert given_up.wait(3)
    assert isinstance(why[0], Stalled)


def test_while_the_broker_is_away_the_step_works_on(
    valkey: Valkey, held: Ledger, watch: Callable[..., Heartbeat]
) -> None:
    """Only a file may not be published: for that a broker that is away is waited for."""
    with valkey.broker.connect(patient=True) as client:
        found = watch()
        found.ledger = Ledger(client)
        with found:
            valkey.kill()
            time.sleep(0.2)
            found.advance(bytes=1)
            threading.Timer(0.3, valkey.start).start()
            began = time.monotonic()
            found.before_publish("x")
            assert time.monotonic() - began > 0.2
        assert held.get(V)


def test_a_lock_that_was_lost_is_not_taken_again_even_if_it_is_free(ledger: Ledger) -> None:
    assert ledger.lock("catalog:p", "mine", 0.05)
    time.sleep(0.1)
    with ledger.locked("catalog:p", 5.0) as other:
        assert other
    with (
        Heartbeat(
            ledger, ledger, {}, lease=5.0, stall=60.0, lock=("catalog:p", "mine")
        ) as watch,
        pytest.raises(LeaseLost),
    ):
        watch.before_publish("index.html")


def test_a_broker_that_is_away_for_longer_than_a_stall_is_no_stall(
    ledger: Ledger, valkey: Valkey
) -> None:
    entry = record.new(V, Options("https://x"), 0, 1.0)
    assert ledger.put_many([(None, entry)]) == [True]
    ledger.update(V, lambda found: record.claimed(found, "t", "w", 2.0), lease=60.0)
    assert valkey.process
    with Heartbeat(ledger, ledger, {V: "t"}, lease=60.0, stall=1.5) as watch:
        watch.advance()
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(3.0)
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        watch.before_publish("a file")
        time.sleep(0.5)
        watch.advance()
