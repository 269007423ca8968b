"""The ledger, by one suite against fakeredis and against a real Valkey server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.valkey import Valkey, dump, token
from support.waiting import pass_time

from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.steps import NAMES, QUEUES, UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.indexes import places, totals
from icfqueue.ledger.keys import key, visit_key
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import ACTIVE, Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail, RetryIn

OPTIONS = Options("https://data.example.org")
V = Visit("p", "v")


@dataclass
class Bench:
    """A ledger under test, and what one can do to its server."""

    ledger: Ledger
    connect: Callable[[], Any]
    restart: Callable[[], None] | None = None


@pytest.fixture(params=["fakeredis", "valkey"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()

        def connect() -> Any:
            return fakeredis.FakeRedis(server=server, decode_responses=True)

        yield Bench(RedisLedger(connect(), flush_after=0.05), connect)
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    opened = []

    def open_one() -> Any:
        opened.append(valkey.client())
        return opened[-1]

    yield Bench(RedisLedger(open_one(), flush_after=0.05), open_one, valkey.restart)
    for client in opened:
        client.close()


def put(ledger: Ledger, visit: Visit = V, priority: int = 0) -> Record:
    found = record.new(visit, OPTIONS, priority, time.time())
    assert ledger.put_many([(None, found)]) == [True]
    return found


def claim(ledger: Ledger, visit: Visit = V, lease: float = 30.0, word: str = "t") -> Record:
    found = ledger.update(
        visit, lambda r: record.claimed(r, word, "host:1", time.time()), lease=lease
    )
    assert found is not None
    return found


def finish(ledger: Ledger, visit: Visit = V, **told: Any) -> Record:
    outcome = Outcome(worked=True, **told)
    found = ledger.update(visit, lambda r: record.finished(r, outcome, time.time()))
    assert found is not None
    return found


def advance(ledger: Ledger, visit: Visit, step: str) -> None:
    entry = ledger.get(visit)
    assert entry is not None
    while entry.record.step != step:
        claim(ledger, visit)
        finish(ledger, visit)
        entry = ledger.get(visit)
        assert entry is not None


def check_indexes(ledger: Ledger) -> None:
    """Compare every index with what a scan of all records gives."""
    client = ledger.client
    names = list(client.scan_iter("icfqueue:visit:*"))
    records = [Record.from_json(client.hget(name, "r")) for name in names]
    sets: dict[str, set[str]] = {}
    scored: dict[str, set[str]] = {}
    sums: dict[str, dict[str, int]] = {}
    for found in records:
        assert client.hget(visit_key(found.visit), "t") == found.token
        plain, ordered = places(found)
        for place, member in plain:
            sets.setdefault(place, set()).add(member)
        for place, member in ordered:
            scored.setdefault(place, set()).add(member)
        mine = sums.setdefault(found.visit.project, dict.fromkeys(totals(None), 0))
        for field, amount in totals(found).items():
            mine[field] += amount
    there = dump(client)
    found_sets = {n: v for n, v in there.items() if isinstance(v, set)}
    assert found_sets == sets
    zsets = ("sent:", "leases", "due")
    found_scored = {
        name: set(value)
        for name, value in there.items()
        if name.removeprefix("icfqueue:").startswith(zsets)
    }
    assert found_scored == scored
    for project, expected in sums.items():
        assert ledger.totals(project) == expected
        by_state = ledger.counts(project)
        assert set(by_state) == set(State)
        mine_too = [r for r in records if r.visit.project == project]
        assert sum(by_state.values()) == len(mine_too)
        for state in State:
            assert by_state[state] == sum(r.state == state for r in mine_too)
        running = {r.visit.id for r in mine_too if r.state == State.RUNNING}
        assert set(ledger.progress(project)) <= running
        ready = [
            r for r in mine_too if r.state == State.QUEUED and r.step == UPDATE_CATALOG.name
        ]
        assert ledger.ready_count(project, UPDATE_CATALOG.name) == len(ready)
        if ready:
            assert project in there.get(key("flush"), {})


def test_what_was_never_enqueued_is_not_there(bench: Bench) -> None:
    ledger = bench.ledger
    assert ledger.get(V) is None
    assert ledger.update(V, lambda r: r) is None
    assert ledger.projects() == []
    assert ledger.counts("p") == dict.fromkeys(State, 0)
    assert ledger.totals("p") == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}
    assert list(ledger.get_many([])) == []
    assert ledger.put_many([]) == []


def test_a_record_is_read_as_it_was_written_and_never_expires(bench: Bench) -> None:
    found = put(bench.ledger)
    entry = bench.ledger.get(V)
    assert entry == Entry(found, "1")
    client = bench.ledger.client
    assert [client.ttl(name) for name in client.scan_iter("icfqueue:*")] != []
    assert all(client.ttl(name) == -1 for name in client.scan_iter("icfqueue:*"))


def test_of_two_who_change_the_same_version_the_second_is_refused(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    entry = ledger.get(V)
    assert entry is not None
    one = record.cancelled(entry.record, 1.0)
    two = record.claimed(entry.record, "t", "w", 1.0)
    assert ledger.put_many([(entry, one)]) == [True]
    before = dump(ledger.client)
    assert ledger.put_many([(entry, two)], lease=30.0) == [False]
    assert dump(ledger.client) == before
    assert ledger.put_many([(None, two)]) == [False]
    assert dump(ledger.client) == before


def test_an_update_is_made_from_the_newest_record(bench: Bench) -> None:
    """Somebody else writes between reading and writing: the change is made again."""
    ledger, other = bench.ledger, RedisLedger(bench.connect())
    put(ledger)
    calls: list[str] = []

    def change(found: Record) -> Record | None:
        calls.append(found.state)
        if len(calls) == 1:
            other.update(V, lambda r: record.cancelled(r, 1.0))
        return record.resumed(found, 2.0) if found.state == State.CANCELLED else found

    changed = ledger.update(V, change)
    assert calls == ["queued", "cancelled"]
    assert changed is not None
    assert changed.generation == 3
    check_indexes(ledger)


def test_what_the_change_raises_passes_and_nothing_is_written(bench: Bench) -> None:
    put(bench.ledger)
    before = dump(bench.ledger.client)

    def change(_: Record) -> Record:
        raise BadTarball("no")

    with pytest.raises(BadTarball):
        bench.ledger.update(V, change)
    assert dump(bench.ledger.client) == before


class Forgetful:
    """A connection that loses the answer of the first write, and asks again."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.lost = False
        self.run_many = ledger._run_many

    def __call__(self, script: Any, calls: Any) -> Any:
        answers = self.run_many(script, calls)
        if not self.lost:
            self.lost = True
            return self.run_many(script, calls)
        return answers


def test_a_write_whose_answer_was_lost_counts_as_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker would claim a visit and not know it: a crash that was none."""
    put(bench.ledger)
    monkeypatch.setattr(bench.ledger, "_run_many", Forgetful(bench.ledger))
    found = bench.ledger.update(
        V,
        lambda r: record.claimed(r, "t", "w", 1.0) if r.state == State.QUEUED else None,
        lease=30.0,
    )
    assert found is not None
    assert found.token == "t"


MOVES = (
    *("claim", "finish", "fail", "wait", "release", "orphan"),
    *("due", "cancel", "retry", "new", "postpone"),
)


def move(ledger: Ledger, visit: Visit, what: str, number: int) -> None:
    """Make a move if it can be made now."""
    now = 1000.0 + number
    outcome = Outcome(worked=True, tar_bytes=number * 10, dicoms=number)
    trouble = NetworkTrouble("x")
    stopped = (State.FAILED, State.CANCELLED)
    running = (State.RUNNING,)
    table: dict[str, tuple[tuple[State, ...], Callable[[Record], Record]]] = {
        "claim": ((State.QUEUED,), lambda r: record.claimed(r, f"t{number}", "w", now)),
        "finish": (running, lambda r: record.finished(r, outcome, now)),
        "fail": (running, lambda r: record.failed(r, trouble, Fail(), now)),
        "wait": (running, lambda r: record.failed(r, trouble, RetryIn(5.0), now)),
        "postpone": (running, lambda r: record.postponed(r, trouble, now + 5)),
        "release": (running, record.given_back),
        "orphan": (running, record.orphaned),
        "due": ((State.WAITING,), record.due_again),
        "cancel": (ACTIVE, lambda r: record.cancelled(r, now)),
        "retry": (stopped, lambda r: record.resumed(r, now)),
        "new": (tuple(State), lambda r: record.enqueued(r, OPTIONS, 0, now)),
    }

    def change(found: Record) -> Record | None:
        states, to = table[what]
        return to(found) if found.state in states else None

    if what == "new" and ledger.get(visit) is None:
        put(ledger, visit)
    changed = ledger.update(visit, change, lease=30.0)
    if changed and changed.state == State.RUNNING:
        assert ledger.renew(visit, changed.token, 30.0, number, number)


@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([Visit("p", "a"), Visit("p", "b"), Visit("q", "a")]),
            st.sampled_from([*MOVES, "claim", "finish", "claim", "finish"]),
        ),
        max_size=60,
    )
)
def test_indexes_say_what_a_scan_of_all_records_says(
    bench: Bench, moves: list[tuple[Visit, str]]
) -> None:
    """After any sequence of changes, of three visits in two projects."""
    bench.ledger.client.flushall()
    put(bench.ledger, Visit("p", "a"))
    for number, (visit, what) in enumerate(moves, 1):
        move(bench.ledger, visit, what, number)
    check_indexes(bench.ledger)


def test_sums_follow_a_visit_to_its_end_and_back(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger)
    finish(ledger, tar_bytes=100)
    assert ledger.totals("p") == {"tar_bytes": 100, "read_bytes": 0, "read_dicoms": 0}
    advance(ledger, V, "cleanup")
    claim(ledger)
    finish(ledger, dicoms=7)
    assert ledger.totals("p") == {"tar_bytes": 100, "read_bytes": 100, "read_dicoms": 7}
    ledger.update(V, lambda r: record.enqueued(r, OPTIONS, 0, 1.0))
    assert ledger.totals("p") == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}


def test_a_lease_ends_in_the_servers_time_and_only_then_is_the_visit_an_orphan(
    bench: Bench,
) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger, lease=600.0)
    pass_time(ledger.client, 500.0)
    assert ledger.orphans() == []
    assert ledger.update(V, record.orphaned, orphan=True) is None
    pass_time(ledger.client, 101.0)
    assert ledger.orphans() == [V]
    found = ledger.update(V, record.orphaned, orphan=True)
    assert found is not None
    assert found.state == State.QUEUED
    assert ledger.orphans() == []
    check_indexes(ledger)


def test_an_owner_renews_its_lease_and_tells_its_progress(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger, lease=30.0)
    assert ledger.renew(V, "t", 600.0, 5, 2)
    assert ledger.progress("p") == {"v": (5, 2)}
    pass_time(ledger.client, 500.0)
    assert ledger.orphans() == []
    assert not ledger.renew(V, "other", 30.0)
    assert not ledger.renew(Visit("p", "none"), "t", 30.0)


def test_an_owner_that_is_late_still_holds_what_nobody_took(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger, lease=0.05)
    time.sleep(0.1)
    assert ledger.orphans() == [V]
    assert ledger.renew(V, "t", 30.0)
    assert ledger.orphans() == []
    assert ledger.update(V, record.orphaned, orphan=True) is None


@pytest.mark.parametrize("how", ["orphaned", "cancelled", "forced"])
def test_an_owner_whose_lease_was_taken_away_cannot_renew_it(
    bench: Bench, how: str
) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger, lease=0.05)
    time.sleep(0.1)
    takes: dict[str, Callable[[Record], Record]] = {
        "orphaned": record.orphaned,
        "cancelled": lambda r: record.cancelled(r, 1.0),
        "forced": lambda r: record.enqueued(r, OPTIONS, 0, 1.0),
    }
    assert ledger.update(V, takes[how], orphan=how == "orphaned")
    before = dump(ledger.client)
    assert not ledger.renew(V, "t", 30.0, 9, 9)
    assert not ledger.renew(V, "", 30.0)
    assert dump(ledger.client) == before


def test_waiting_visits_are_due_at_their_time(bench: Bench) -> None:
    ledger = bench.ledger
    for name, wait in (("a", -1.0), ("b", 3600.0)):
        put(ledger, Visit("p", name))
        claim(ledger, Visit("p", name))
        ledger.update(
            Visit("p", name),
            lambda r, wait=wait: record.failed(
                r, NetworkTrouble("x"), RetryIn(wait), time.time()
            ),
        )
    assert ledger.due() == [Visit("p", "a")]


def test_visits_queued_for_long_are_known_with_their_queue(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    put(ledger, Visit("p", "w"))
    claim(ledger, Visit("p", "w"))
    assert ledger.queued_count("fetch") == 1
    assert ledger.unsent("fetch", 60.0) == []
    pass_time(ledger.client, 61.0)
    assert ledger.unsent("fetch", 60.0) == [V]
    ledger.sent([V, Visit("p", "w"), Visit("p", "none")], "fetch")
    assert ledger.unsent("fetch", 60.0) == []
    assert ledger.queued_count("fetch") == 1
    advance(ledger, V, UPDATE_CATALOG.name)
    assert [ledger.queued_count(queue) for queue in QUEUES] == [0, 0, 0, 0]


def test_a_lock_belongs_to_one_token_until_it_ends(bench: Bench) -> None:
    ledger = bench.ledger
    assert ledger.locks.take("l", "a", 30.0)
    assert ledger.locks.take("l", "a", 600.0)
    assert not ledger.locks.take("l", "b", 30.0)
    ledger.locks.release("l", "b")
    pass_time(ledger.client, 500.0)
    assert not ledger.locks.take("l", "b", 30.0)
    pass_time(ledger.client, 101.0)
    assert ledger.locks.take("l", "b", 30.0)
    assert not ledger.locks.take("l", "a", 30.0)
    ledger.locks.release("l", "b")
    with (
        ledger.locks.holding("l", 30.0) as mine,
        ledger.locks.holding("l", 30.0) as nobodys,
    ):
        assert mine
        assert nobodys is None
    assert ledger.locks.take("l", "c", 30.0)
    with ledger.locks.holding("l", 30.0, wait=0.15) as late:
        assert late is None


def test_notes_stand_for_their_time(bench: Bench) -> None:
    ledger = bench.ledger
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == (None, 0.0)
    ledger.notes.put("n", "für immer")
    assert (ledger.notes.get("n"), ledger.notes.ends_in("n")) == ("für immer", 0.0)
    ledger.notes.put("n", "soon over", 600.0)
    assert 500.0 < ledger.notes.ends_in("n") <= 600.0
    pass_time(ledger.client, 500.0)
    assert ledger.notes.get("n") == "soon over"
    pass_time(ledger.client, 101.0)
    assert ledger.notes.get("n") is None
    ledger.notes.put("n", "x")
    ledger.notes.drop("n")
    assert ledger.notes.get("n") is None


def test_a_counter_is_forgotten_when_nothing_was_counted_for_a_while(bench: Bench) -> None:
    ledger = bench.ledger
    for count in (1, 2, 3):
        assert ledger.notes.count_up("c", 600.0) == count
        pass_time(ledger.client, 500.0)
    pass_time(ledger.client, 101.0)
    assert ledger.notes.count_up("c", 600.0) == 1


def test_the_catalog_is_written_a_while_after_the_first_visit_is_ready(
    bench: Bench,
) -> None:
    ledger = bench.ledger
    put(ledger)
    advance(ledger, V, UPDATE_CATALOG.name)
    assert ledger.ready("p", UPDATE_CATALOG.name) == [V]
    time.sleep(0.1)
    assert ledger.flushes_due() == ["p"]
    ledger.delay_flush("p", 30.0)
    assert ledger.flushes_due() == []
    ledger.flush_now("p")
    assert ledger.flushes_due() == ["p"]
    assert not ledger.flushed("p", 30.0)
    assert ledger.flushes_due() == []
    claim(ledger)
    finish(ledger)
    assert ledger.flushed("p", 30.0)
    assert not ledger.client.exists(key("flush"))
    ledger.delay_flush("p", 0.0)
    assert ledger.flushes_due() == []


def test_workers_are_believed_for_a_while(bench: Bench) -> None:
    ledger = bench.ledger
    ledger.worker_lives("host:1")
    ledger.client.zadd(key("workers"), {"host:2": time.time() - 60})
    ledger.client.zadd(key("workers"), {"host:3": time.time() - 7200})
    assert ledger.workers() == ["host:1"]
    assert ledger.client.zcard(key("workers")) == 2


def test_many_visits_are_written_and_read_in_order(bench: Bench) -> None:
    ledger = bench.ledger
    visits = [Visit("p", f"v{number:04d}") for number in range(1201)]
    pairs = [(None, record.new(visit, OPTIONS, 0, 1.0)) for visit in visits]
    assert ledger.put_many(pairs) == [True] * len(visits)
    assert ledger.put_many(pairs[:2]) == [False, False]
    assert [entry.record.visit for entry in ledger.get_many(visits) if entry] == visits
    assert ledger.visits("p") == visits
    assert ledger.visits("p", [State.DONE]) == []
    assert [found.visit for found in ledger.records("p", [State.QUEUED])] == visits
    assert ledger.counts("p")[State.QUEUED] == 1201
    assert ledger.projects() == ["p"]


def test_writers_at_once_lose_no_update(bench: Bench) -> None:
    """Each of four writers raises the generation 25 times: it ends at 101."""
    put(bench.ledger)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            ledger = RedisLedger(bench.connect())
            for _ in range(25):
                assert ledger.update(
                    V, lambda r: record.enqueued(r, OPTIONS, 0, time.time())
                )
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    entry = bench.ledger.get(V)
    assert entry is not None
    assert (entry.record.generation, entry.version) == (101, "101")
    check_indexes(bench.ledger)


def test_of_many_who_claim_at_once_one_gets_the_visit(bench: Bench) -> None:
    put(bench.ledger)
    got: list[Record] = []

    def try_it() -> None:
        word = token()
        found = RedisLedger(bench.connect()).update(
            V,
            lambda r: (
                record.claimed(r, word, "w", 1.0)
                if record.claimable(r, "fetch", 1)
                else None
            ),
            lease=30.0,
        )
        if found:
            got.append(found)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = bench.ledger.get(V)
    assert entry is not None
    assert [found.token for found in got] == [entry.record.token]


def test_scripts_that_the_server_forgot_are_loaded_again(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    for _ in range(2):
        ledger.client.script_flush()
        put(ledger, Visit("p", token()))
        ledger.client.script_flush()
        ledger.sent([V], "fetch")
        ledger.client.script_flush()
        assert not ledger.renew(V, "t", 30.0)
        ledger.client.script_flush()
        assert ledger.locks.take("l", "a", 30.0)
        assert ledger.orphans() == []


def test_a_server_that_restarts_between_loading_and_using_a_script(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline reaches a server that does not know the script: it is sent again."""
    ledger, other = bench.ledger, bench.connect()
    visits = [Visit("p", f"v{number}") for number in range(5)]
    load = redis.client.Pipeline.load_scripts
    flushes = []

    def load_then_forget(pipe: Any) -> None:
        load(pipe)
        if len(flushes) < 2:
            flushes.append(other.script_flush())

    monkeypatch.setattr(redis.client.Pipeline, "load_scripts", load_then_forget)
    pairs = [(None, record.new(visit, OPTIONS, 0, 1.0)) for visit in visits]
    assert ledger.put_many(pairs) == [True] * 5
    assert len(flushes) == 2
    check_indexes(ledger)


def test_a_restarted_server_has_all_records_and_the_connections_go_on(
    valkey: Valkey, ledger: Ledger
) -> None:
    put(ledger)
    claim(ledger, lease=30.0)
    before = ledger.get(V)
    began = time.monotonic()
    valkey.restart()
    assert ledger.get(V) == before
    assert ledger.renew(V, "t", 30.0)
    assert finish(ledger).step == "index_tar"
    # The server counts from full second to full second.
    assert ledger.uptime() < time.monotonic() - began + 2.0
    check_indexes(ledger)


def test_a_server_that_is_out_of_memory_refuses_and_changes_nothing(
    ledger: Ledger,
) -> None:
    put(ledger)
    before = dump(ledger.client)
    ledger.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.ResponseError):
            put(ledger, Visit("p", "w"))
    finally:
        ledger.client.config_set("maxmemory", "0")
    assert dump(ledger.client) == before


def test_all_data_lost_in_mid_use_is_a_lost_lease_and_no_error(bench: Bench) -> None:
    ledger = bench.ledger
    put(ledger)
    claim(ledger)
    ledger.client.flushall()
    assert not ledger.renew(V, "t", 30.0)
    assert ledger.update(V, lambda r: record.finished(r, Outcome(worked=True), 1.0)) is None
    assert (ledger.orphans(), ledger.due(), ledger.flushes_due()) == ([], [], [])
    assert ledger.counts("p") == dict.fromkeys(State, 0)
    ledger.sent([V], "fetch")
    assert ledger.queued_count("fetch") == 0
    put(ledger)
    check_indexes(ledger)
    assert len(NAMES) == 6
