"""What does not go on by itself is sent on: orphans, retries, lost messages, catalogs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from msgspec import structs
from support.in_process_queue import InProcessQueue
from support.valkey import Valkey
from support.waiting import Clock, pass_time, wait_until

from icfqueue.broker.celery_app import SEPARATOR
from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import QUEUES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.keys import LAYOUT, SPOILT, key, visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import RetryIn
from icfqueue.pipeline import supervisor
from icfqueue.pipeline.supervisor import Supervisor

V = Visit("study_1", "v")


@pytest.fixture(autouse=True)
def long_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has been up for longer than a lease."""
    monkeypatch.setattr(RedisLedger, "uptime", lambda _: 3600.0)


def claim(
    in_process_queue: InProcessQueue,
    visit: Visit = V,
    lease: float = 0.01,
    worker: str = "host:7",
) -> None:
    assert in_process_queue.ledger.update(
        visit, lambda r: record.claimed(r, "t", worker, time.time()), lease=lease
    )
    time.sleep(lease + 0.01 if lease < 1 else 0)


def empty(in_process_queue: InProcessQueue) -> int:
    """Take every message off the queues; how many there were."""
    count = 0
    while in_process_queue.take():
        count += 1
    return count


def age(in_process_queue: InProcessQueue, seconds: float = 60.0) -> None:
    """Let all messages be sent `seconds` ago, and have them counted at the next look."""
    pass_time(in_process_queue.ledger.client, seconds)
    in_process_queue.supervisor._next_count.clear()


def test_a_visit_whose_worker_vanished_is_queued_again_with_a_message(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([V])
    message = in_process_queue.take()
    claim(in_process_queue)
    in_process_queue.supervisor.look()
    found = in_process_queue.record(V)
    assert (found.state, found.token, found.attempts) == (State.QUEUED, "", 1)
    assert found.steps[0].crashes == 1
    assert in_process_queue.take() == message
    in_process_queue.supervisor.look()
    assert in_process_queue.take() is None


def test_a_live_worker_keeps_its_visit(in_process_queue: InProcessQueue) -> None:
    in_process_queue.enqueue([V])
    claim(in_process_queue, lease=30.0)
    in_process_queue.supervisor.look()
    assert in_process_queue.record(V).state == State.RUNNING


def test_a_visit_that_takes_its_worker_down_three_times_fails_and_says_so(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([V])
    for number in range(3):
        empty(in_process_queue)
        claim(in_process_queue, worker=f"node{number}:7")
        in_process_queue.supervisor.look()
    found = in_process_queue.record(V)
    assert found.state == State.FAILED
    assert found.error == {
        "step": "fetch",
        "kind": "permanent",
        "type": "Crashed",
        "cause": "crash",
        "message": "fetch took down its worker 3 times, last on node2:7",
        "hint": found.error["hint"] if found.error else "",
    }
    assert "retry" in found.error["hint"]
    assert in_process_queue.take() is None
    assert in_process_queue.ledger.orphans() == []
    # A retry forgives: it takes three more.
    in_process_queue.producer.retry([V], [State.FAILED])
    claim(in_process_queue)
    in_process_queue.supervisor.look()
    assert in_process_queue.record(V).state == State.QUEUED


def test_after_a_restart_of_the_broker_workers_first_renew_their_leases(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process_queue.enqueue([V])
    claim(in_process_queue)
    short = in_process_queue.settings.lease - 1
    monkeypatch.setattr(RedisLedger, "uptime", lambda _: short)
    in_process_queue.supervisor.recover()
    assert in_process_queue.record(V).state == State.RUNNING
    assert in_process_queue.ledger.renew(V, "t", 30.0)
    monkeypatch.setattr(RedisLedger, "uptime", lambda _: 3600.0)
    in_process_queue.supervisor.recover()
    assert in_process_queue.record(V).state == State.RUNNING


def test_a_retry_is_sent_when_it_is_due_and_not_before(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([V])
    message = in_process_queue.take()
    claim(in_process_queue, lease=30.0)
    in_process_queue.ledger.update(
        V, lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(600.0), time.time())
    )
    pass_time(in_process_queue.ledger.client, 500.0)
    in_process_queue.supervisor.look()
    assert in_process_queue.record(V).state == State.WAITING
    pass_time(in_process_queue.ledger.client, 101.0)
    in_process_queue.supervisor.look()
    assert (in_process_queue.record(V).state, in_process_queue.take()) == (
        State.QUEUED,
        message,
    )


def test_of_two_who_look_one_sends_a_retry(in_process_queue: InProcessQueue) -> None:
    in_process_queue.enqueue([V])
    empty(in_process_queue)
    claim(in_process_queue, lease=30.0)
    in_process_queue.ledger.update(
        V, lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(0.0), time.time())
    )
    others = [in_process_queue.another_supervisor() for _ in range(3)]
    threads = [threading.Thread(target=each.send_due) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert empty(in_process_queue) == 1


def test_a_message_that_was_lost_is_sent_again_once(
    in_process_queue: InProcessQueue,
) -> None:
    visits = [Visit("study_1", name) for name in ("a", "b", "c")]
    in_process_queue.enqueue(visits)
    name = f"fetch{SEPARATOR}{LEVELS[-1]}"
    assert in_process_queue.ledger.client.rpop(name)
    # Sent a moment ago: a worker may just have taken it.
    in_process_queue.supervisor.send_lost("fetch")
    assert in_process_queue.queues.depth("fetch") == 2
    age(in_process_queue)
    in_process_queue.supervisor.send_lost("fetch")
    assert sorted(in_process_queue.queues.waiting("fetch")) == [
        str(visit) for visit in visits
    ]
    for _ in range(3):
        in_process_queue.supervisor._next_count.clear()
        in_process_queue.supervisor.send_lost("fetch")
    assert in_process_queue.queues.depth("fetch") == 3


def test_of_a_queue_that_has_all_its_messages_none_is_sent_or_read(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process_queue.enqueue([V])
    monkeypatch.setattr(
        in_process_queue.queues, "waiting", lambda _: pytest.fail("was read")
    )
    for _ in range(3):
        age(in_process_queue)
        in_process_queue.supervisor.send_lost("fetch")
    assert in_process_queue.queues.depth("fetch") == 1


def test_trouble_with_one_queue_does_not_keep_it_from_the_others(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def send_lost(queue: str) -> None:
        seen.append(queue)
        raise ValueError(queue)

    monkeypatch.setattr(in_process_queue.supervisor, "send_lost", send_lost)
    in_process_queue.supervisor.look()
    assert tuple(seen) == QUEUES


@pytest.mark.parametrize("step", ["index_tar", "write_json", "export_repo", "cleanup"])
def test_messages_of_later_steps_are_found_too(
    in_process_queue: InProcessQueue, step: str
) -> None:
    in_process_queue.enqueue([V])
    in_process_queue.advance(V, step)
    empty(in_process_queue)
    age(in_process_queue)
    in_process_queue.supervisor.look()
    assert in_process_queue.take() == (step, "study_1", "v", 1)


def test_a_study_whose_time_has_come_gets_one_message_for_all(
    in_process_queue: InProcessQueue,
) -> None:
    visits = [Visit("study_1", name) for name in ("a", "b", "c")]
    in_process_queue.enqueue(visits)
    for visit in visits:
        in_process_queue.advance(visit, UPDATE_CATALOG.name)
    empty(in_process_queue)
    time.sleep(0.1)
    in_process_queue.supervisor.look()
    in_process_queue.supervisor.look()
    message = in_process_queue.take()
    assert message
    assert message[0] == UPDATE_CATALOG.name
    assert in_process_queue.take() is None
    # The message may be lost as any other: it is sent again after a while.
    in_process_queue.ledger.flush_now("study_1")
    in_process_queue.supervisor.look()
    assert in_process_queue.take() == message


def test_a_study_of_which_the_writer_vanished_goes_on_when_its_lease_is_over(
    in_process_queue: InProcessQueue,
) -> None:
    """Not only when the next flush happens to be due."""
    in_process_queue.enqueue([V])
    in_process_queue.advance(V, UPDATE_CATALOG.name)
    empty(in_process_queue)
    in_process_queue.ledger.delay_flush("study_1", 600.0)
    claim(in_process_queue)
    in_process_queue.supervisor.look()
    assert in_process_queue.take() == (UPDATE_CATALOG.name, "study_1", "v", 1)


def test_a_flush_for_which_nobody_waits_is_forgotten(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.enqueue([V])
    in_process_queue.advance(V, UPDATE_CATALOG.name)
    empty(in_process_queue)
    in_process_queue.producer.cancel([V])
    time.sleep(0.1)
    in_process_queue.supervisor.look()
    assert in_process_queue.take() is None
    assert in_process_queue.ledger.flushes_due() == []


@pytest.fixture
def start(in_process_queue: InProcessQueue) -> Iterator[Callable[..., Supervisor]]:
    """Start supervisors in threads; they end with the test, before its queue does."""
    assert in_process_queue
    stop = threading.Event()
    threads = []

    def run(made: Supervisor) -> Supervisor:
        threads.append(threading.Thread(target=made.run, args=(stop,)))
        threads[-1].start()
        return made

    yield run
    stop.set()
    for thread in threads:
        thread.join()


def test_one_supervisor_is_active_and_another_takes_over(
    in_process_queue: InProcessQueue,
) -> None:
    in_process_queue.settings = structs.replace(in_process_queue.settings, lease=60.0)
    one, two = (in_process_queue.another_supervisor() for _ in range(2))
    assert one.leads()
    assert not two.leads()
    assert one.leads()
    # However long the leases of visits are, nobody waits for them here.
    pass_time(in_process_queue.ledger.client, 11.0)
    assert two.leads()
    assert not one.leads()


def test_a_supervisor_that_ends_makes_room_at_once(
    in_process_queue: InProcessQueue,
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=in_process_queue.supervisor.run, args=(stop,))
    thread.start()
    wait_until(lambda: in_process_queue.supervisor._leads, 20, "it leads")
    stop.set()
    thread.join()
    assert in_process_queue.another_supervisor().leads()


def test_a_broker_that_is_away_for_a_while_ends_no_supervisor(
    in_process_queue: InProcessQueue,
    valkey: Valkey,
    start: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "TICK", 0.05)
    in_process_queue.enqueue([V])
    empty(in_process_queue)
    claim(in_process_queue, lease=30.0)
    in_process_queue.ledger.update(
        V, lambda r: record.failed(r, NetworkTrouble("x"), RetryIn(600.0), time.time())
    )
    one = start(in_process_queue.supervisor)
    wait_until(lambda: one._leads, 20, "it leads")
    valkey.kill()
    wait_until(lambda: not one._leads, 20, "it has met a broker that is away")
    valkey.start()
    pass_time(in_process_queue.ledger.client, 601.0)
    wait_until(
        lambda: in_process_queue.record(V).state == State.QUEUED, 20, "the retry is due"
    )
    wait_until(
        lambda: in_process_queue.queues.depth("fetch") == 1, 20, "its message is sent"
    )


def test_after_a_time_without_the_broker_workers_first_renew_their_leases(
    in_process_queue: InProcessQueue,
    start: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stood still, or the network was gone: it did not restart, and leases ran out."""
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    monkeypatch.setattr(supervisor, "TICK", 0.01)
    in_process_queue.enqueue([V])
    empty(in_process_queue)
    claim(in_process_queue)
    look, looks = Supervisor.look, [0]

    def first_in_vain(self: Supervisor) -> None:
        looks[0] += 1
        if looks[0] == 1:
            raise redis.TimeoutError("no answer")
        look(self)

    monkeypatch.setattr(Supervisor, "look", first_in_vain)
    start(in_process_queue.supervisor)
    wait_until(lambda: looks[0] > 3, 20, "it looks again and again")
    clock.now += in_process_queue.settings.lease - 1
    before = looks[0]
    wait_until(lambda: looks[0] > before + 3, 20, "it still looks")
    assert in_process_queue.record(V).state == State.RUNNING
    clock.now += 2
    wait_until(
        lambda: in_process_queue.record(V).state == State.QUEUED, 20, "it has recovered V"
    )


def test_an_unexpected_error_is_logged_and_the_next_look_is_made(
    in_process_queue: InProcessQueue,
    start: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "TICK", 0.01)
    looks = []

    def look() -> None:
        looks.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(in_process_queue.supervisor, "look", look)
    start(in_process_queue.supervisor)
    wait_until(lambda: len(looks) > 2, 20, "it looks again")
    assert "unexpected error" in caplog.text


# What cannot be read, and clocks that are set


def test_a_record_that_cannot_be_read_is_set_aside_with_a_word(
    in_process_queue: InProcessQueue, caplog: pytest.LogCaptureFixture
) -> None:
    in_process_queue.enqueue([V])
    claim(in_process_queue)
    client = in_process_queue.ledger.client
    client.hset(visit_key(V), "r", "no JSON")
    for _ in range(3):
        in_process_queue.supervisor.look()
    assert caplog.text.count("cannot be read") == 1
    assert client.hget(visit_key(V), "r") == "no JSON"


def test_a_clock_that_is_set_forward_ends_no_lease_of_a_live_worker(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All leases seem to be over at once: they are renewed first."""
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    in_process_queue.enqueue([V])
    claim(in_process_queue, lease=30.0)
    in_process_queue.supervisor.look()
    monkeypatch.setattr(RedisLedger, "clock_stepped", lambda _: 3600.0)
    pass_time(in_process_queue.ledger.client, 3600.0)
    in_process_queue.supervisor.look()
    assert in_process_queue.record(V).state == State.RUNNING
    assert in_process_queue.ledger.renew(V, "t", 30.0)
    monkeypatch.setattr(RedisLedger, "clock_stepped", lambda _: 0.0)
    clock.now += in_process_queue.settings.lease + 1
    in_process_queue.supervisor.look()
    assert in_process_queue.record(V).state == State.RUNNING


def test_after_a_clock_was_set_back_nobody_waits_for_it_to_catch_up(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an orphan, a retry that is due, a message that was lost."""
    orphan, waiting, lost = (Visit("study_1", name) for name in ("o", "w", "l"))
    in_process_queue.enqueue([orphan, waiting, lost])
    empty(in_process_queue)
    claim(in_process_queue, orphan, lease=10.0)
    claim(in_process_queue, waiting, lease=30.0)
    in_process_queue.ledger.update(
        waiting,
        lambda r: record.failed(
            r, NetworkTrouble("x"), RetryIn(10.0), in_process_queue.ledger.now()
        ),
    )
    in_process_queue.supervisor.look()
    monkeypatch.setattr(RedisLedger, "clock_stepped", lambda _: -3600.0)
    pass_time(in_process_queue.ledger.client, -3600.0)
    in_process_queue.supervisor.look()
    monkeypatch.setattr(RedisLedger, "clock_stepped", lambda _: 0.0)
    age(in_process_queue, in_process_queue.settings.lease + 1)
    in_process_queue.supervisor.look()
    found = [in_process_queue.record(visit) for visit in (orphan, waiting, lost)]
    assert [one.state for one in found] == [State.QUEUED] * 3
    age(in_process_queue, 10.0)
    in_process_queue.supervisor.look()
    assert empty(in_process_queue) == 3


def test_a_newer_layout_ends_supervision_and_says_so(
    in_process_queue: InProcessQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "TICK", 0.01)
    refused = threading.Event()
    made = in_process_queue.another_supervisor(refused=refused.set)
    in_process_queue.ledger.client.set(key("layout"), LAYOUT + 1)
    made.run(threading.Event(), lambda: in_process_queue.ledger.worker_lives("host:1"))
    assert refused.is_set()
    assert "a newer icfqueue works with this broker" in caplog.text


def test_who_becomes_active_has_spoilt_keys_mended(
    in_process_queue: InProcessQueue,
) -> None:
    """Those, too, that nobody meets."""
    in_process_queue.enqueue([V])
    in_process_queue.ledger.client.set(key("layout"), "x")
    assert in_process_queue.supervisor.leads()
    assert in_process_queue.ledger.client.get(key("layout")) is None


def test_a_mending_that_nobody_ended_is_ended(in_process_queue: InProcessQueue) -> None:
    in_process_queue.enqueue([V])
    in_process_queue.ledger.client.delete(key("in", "study_1", State.QUEUED))
    in_process_queue.ledger.client.set(SPOILT, "1")
    in_process_queue.supervisor.look()
    assert in_process_queue.ledger.counts("study_1")[State.QUEUED] == 1


@pytest.mark.parametrize("name", ["leases", "due", "flush", "sent:fetch", "turn:fetch:9"])
def test_a_key_of_another_type_stops_no_look(
    in_process_queue: InProcessQueue, name: str
) -> None:
    in_process_queue.enqueue([V])
    claim(in_process_queue)
    in_process_queue.ledger.client.delete(key(name))
    in_process_queue.ledger.client.set(key(name), "x")
    in_process_queue.supervisor.look()
    assert in_process_queue.ledger.client.type(key(name)) in {"none", "zset"}


def test_what_stays_spoilt_is_said_and_looked_at_again(
    in_process_queue: InProcessQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) > 2:
            stop.set()
        raise redis.ResponseError("WRONGTYPE Operation against a key")

    stop = threading.Event()
    monkeypatch.setattr(supervisor, "TICK", 0.001)
    monkeypatch.setattr(in_process_queue.supervisor, "look", look)
    in_process_queue.supervisor.run(stop)
    assert len(looks) == 3
    assert "the broker answered WRONGTYPE" in caplog.text
    assert "Traceback" not in caplog.text
