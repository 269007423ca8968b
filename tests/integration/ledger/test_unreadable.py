"""One record that cannot be read harms nobody else, and can be mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from support.commands import Icfqueue
from support.in_process_queue import URL, InProcessQueue
from support.valkey import Valkey
from support.waiting import pass_time

from icfqueue.core.options import Options, Outcome
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.ledger import record
from icfqueue.ledger.keys import key, visit_key
from icfqueue.ledger.ledger import Unreadable
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.enqueue import Deed
from icfqueue.operations.reconcile import forget, reconcile
from icfqueue.operations.status import Wanted, found_of, stuck, unreadable

BROKEN = Visit("study_1", "broken")
GOOD = [Visit("study_1", f"good{number}") for number in range(3)]
OTHER = Visit("study_2", "v")

KINDS = {
    "no JSON": {"r": "no JSON"},
    "a newer layout": {"m": json.dumps({"schema": 99, "v": "1"})},
    "no text": {"r": ""},
}


@pytest.fixture
def ledger(valkey: Valkey) -> Iterator[RedisLedger]:
    with valkey.client() as client:
        yield RedisLedger(client, flush_after=0.05)


@pytest.fixture(params=list(KINDS))
def queue(
    in_process_queue: InProcessQueue,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> InProcessQueue:
    """Visits of two projects are queued; the first one's record is damaged."""
    from icfqueue.steps import registry

    monkeypatch.setattr(registry, "run", lambda *_: Outcome(worked=True))
    for project in ("study_1", "study_2"):
        in_process_queue.store.project_dir(project).mkdir()
    in_process_queue.enqueue([BROKEN, *GOOD], catalog=False, superdataset=False)
    in_process_queue.enqueue([OTHER], catalog=False, superdataset=False)
    in_process_queue.ledger.client.hset(visit_key(BROKEN), mapping=KINDS[request.param])
    return in_process_queue


def drain(queue: InProcessQueue) -> None:
    everybody = [*GOOD, OTHER]
    queue.drain(
        until=lambda: all(queue.record(visit).state == State.DONE for visit in everybody)
    )


def test_its_neighbours_and_other_projects_are_done(queue: InProcessQueue) -> None:
    """It stands first wherever the supervisor looks."""
    for name in ("due", "leases"):
        queue.ledger.client.zadd(key(name), {str(BROKEN): 1})
    before = queue.ledger.client.hgetall(visit_key(BROKEN))
    drain(queue)
    pass_time(queue.ledger.client, 3600.0)
    for _ in range(3):
        queue.supervisor._next_count.clear()
        queue.supervisor.look()
    assert queue.ledger.client.hgetall(visit_key(BROKEN)) == before
    assert [one.visit for one in stuck(queue.ledger, "study_1")] == [BROKEN]


def test_a_thousand_of_them_do_not_hide_one_that_waits(queue: InProcessQueue) -> None:
    many = {f"study_1/x{number}": 1 for number in range(1200)}
    client = queue.ledger.client
    for member in many:
        client.hset(f"icfqueue:visit:{member}", mapping={"v": 1, "t": "", "r": "x"})
    client.zadd(key("due"), many)
    queue.ledger.update(
        GOOD[0], lambda r: record.claimed(r, "t", "host:1", queue.ledger.now()), lease=30
    )
    queue.ledger.update(
        GOOD[0], lambda r: record.postponed(r, None, queue.ledger.now() - 1)
    )
    for _ in range(4):
        queue.supervisor.send_due()
    assert queue.record(GOOD[0]).state == State.QUEUED


def test_enqueue_retry_and_cancel_leave_it_alone_and_do_the_others(
    queue: InProcessQueue,
) -> None:
    visits = [BROKEN, *GOOD]
    before = queue.ledger.client.hgetall(visit_key(BROKEN))
    options = Options(URL, force=True)
    plans = queue.producer.plan(visits, options)
    assert [plan.deed for plan in plans] == [Deed.UNREADABLE, *[Deed.ENQUEUE] * 3]
    assert "cannot be read" in plans[0].why
    done = queue.producer.enqueue(plans, options)
    assert (done.enqueued, done.unreadable) == (3, 1)
    assert queue.producer.cancel(visits) == GOOD
    assert queue.producer.retry(visits, [State.CANCELLED]) == GOOD
    assert queue.ledger.client.hgetall(visit_key(BROKEN)) == before


def test_status_shows_and_counts_it(queue: InProcessQueue) -> None:
    assert [one.visit for one in unreadable(queue.ledger, "study_1")] == [BROKEN]
    assert queue.ledger.counts("study_1")[State.QUEUED] == 4
    shown = list(found_of(queue.ledger, "study_1", Wanted((State.QUEUED,))))
    assert [isinstance(one, Unreadable) for one in shown] == [True, False, False, False]
    assert stuck(queue.ledger, "study_1") == []


def test_forgotten_it_can_be_enqueued_again(queue: InProcessQueue) -> None:
    done = forget(queue.store, queue.ledger, [BROKEN])
    assert (done.gone, done.left) == ([BROKEN], {})
    assert queue.ledger.get(BROKEN) is None
    queue.enqueue([BROKEN], catalog=False, superdataset=False)
    drain(queue)
    queue.drain()
    assert queue.record(BROKEN).state == State.DONE


def test_a_visit_whose_record_vanished_is_taken_out_of_the_indexes(
    queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, say: it would be counted for ever."""
    monkeypatch.setattr(RedisLedger, "uptime", lambda _: 3600.0)
    client = queue.ledger.client
    queue.ledger.update(GOOD[0], lambda r: record.claimed(r, "t", "h", 1.0), lease=0.001)
    client.delete(visit_key(GOOD[0]))
    pass_time(client, 60.0)
    queue.supervisor.look()
    assert queue.ledger.orphans() == []
    assert GOOD[0] not in queue.ledger.visits("study_1")


@pytest.mark.parametrize("kind", list(KINDS))
def test_reconcile_makes_it_anew_of_a_complete_visit_unless_a_newer_release_wrote_it(
    in_process_queue: InProcessQueue, kind: str
) -> None:
    queue = in_process_queue
    (visit,) = queue.build(1)
    queue.enqueue([visit], superdataset=False)
    queue.drain()
    before = queue.record(visit)
    version = queue.ledger.client.hget(visit_key(visit), "v")
    fields = KINDS[kind] | (
        {"m": json.dumps({"schema": 99, "v": version})} if "m" in KINDS[kind] else {}
    )
    queue.ledger.client.hset(visit_key(visit), mapping=fields)
    settings = structs.replace(queue.settings, store_url=URL)
    done = reconcile(settings, queue.store, queue.ledger, "study_1")
    if kind == "a newer layout":
        assert "update icfqueue" in done.left[visit]
        assert [one.visit for one in unreadable(queue.ledger, "study_1")] == [visit]
        return
    assert done.restored == [visit]
    found = queue.record(visit)
    assert (found.state, found.refs) == (State.DONE, before.refs)
    assert queue.ledger.totals("study_1")["read_dicoms"] == before.dicoms


def test_every_command_says_what_is_wrong_and_goes_on(
    valkey: Valkey, tmp_path: Path
) -> None:
    """The installed command; a worker of its own; both projects."""
    store = tmp_path / "store"
    build_project(store, "study_1", 2)
    build_project(store, "study_2", 1)
    icfqueue = Icfqueue(store, {"ICFQUEUE_BROKER_URL": valkey.url})
    with valkey.client() as client:
        icfqueue.good("enqueue", "study_1")
        client.hset("icfqueue:visit:study_1/visit_01", "r", '{"of": "another world"}')
        said = icfqueue("run", "study_2", "--jobs", "1")
        assert said.returncode == 0, said.stderr
        said = icfqueue("run", "study_1", "--jobs", "1")
        assert said.returncode == 1
        assert "unreadable, visit_01: " in said.stderr
        assert "its record cannot be read" in said.stderr
        assert "icfqueue forget study_1 visit_01" in said.stderr
        icfqueue.good("status", "study_1", "--wait")
        for form in ("table", "json", "csv"):
            shown = icfqueue.good("status", "study_1", "--format", form)
            assert "unreadable" in shown
            assert "cannot be read" in shown
        assert "1 left alone" in icfqueue.good("enqueue", "study_1", "--force")
        assert "left alone" in icfqueue.good("retry", "study_1", "visit_01")
        assert "visit_01" in icfqueue.good("cancel", "study_1", "visit_01")
        assert "cannot be read" in icfqueue.good("reconcile", "study_1")
        icfqueue.good("forget", "study_1", "visit_01")
        icfqueue.good("run", "study_1", "--jobs", "1")
        assert client.scard("icfqueue:in:study_1:done") == 2
