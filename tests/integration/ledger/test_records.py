"""Records: read as they were written, and changed by one writer at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.ledger import OPTIONS, VISIT, check_indexes, put
from support.valkey import dump, token

from icfqueue.core.errors import BadTarball
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.stored import record_table


def test_what_was_never_enqueued_is_not_there(ledger: RedisLedger) -> None:
    assert ledger.get(VISIT) is None
    assert ledger.update(VISIT, lambda r: r) is None
    assert ledger.projects() == []
    assert ledger.counts("p") == dict.fromkeys(State, 0)
    assert ledger.totals("p") == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}
    assert list(ledger.get_many([])) == []
    assert ledger.put_many([]) == []


def test_a_record_is_read_as_it_was_written_and_never_expires(ledger: RedisLedger) -> None:
    written = put(ledger)
    assert ledger.get(VISIT) == Entry(written, "1")
    ends = [ledger.client.ttl(name) for name in ledger.client.scan_iter("icfqueue:*")]
    assert ends != []
    assert set(ends) == {-1}


def test_of_two_who_change_the_same_version_the_second_is_refused(
    ledger: RedisLedger,
) -> None:
    put(ledger)
    entry = ledger.get(VISIT)
    assert entry is not None
    one = record.cancelled(entry.record, 1.0)
    two = record.claimed(entry.record, "t", "w", 1.0)
    assert ledger.put_many([(entry, one)]) == [True]
    before = dump(ledger.client)
    assert ledger.put_many([(entry, two)], lease=30.0) == [False]
    assert dump(ledger.client) == before
    assert ledger.put_many([(None, two)]) == [False]
    assert dump(ledger.client) == before


def test_an_update_is_made_from_the_newest_record(
    ledger: RedisLedger, connect: Callable[[], Any]
) -> None:
    """Somebody else writes between reading and writing: the change is made again."""
    other = RedisLedger(connect())
    put(ledger)
    states: list[str] = []

    def change(current: Record) -> Record | None:
        states.append(current.state)
        if len(states) == 1:
            other.update(VISIT, lambda r: record.cancelled(r, 1.0))
        cancelled = current.state == State.CANCELLED
        return record.resumed(current, 2.0) if cancelled else current

    changed = ledger.update(VISIT, change)
    assert states == ["queued", "cancelled"]
    assert changed is not None
    assert changed.generation == 3
    check_indexes(ledger)


def test_what_the_change_raises_passes_and_nothing_is_written(ledger: RedisLedger) -> None:
    put(ledger)
    before = dump(ledger.client)

    def change(_: Record) -> Record:
        raise BadTarball("no")

    with pytest.raises(BadTarball):
        ledger.update(VISIT, change)
    assert dump(ledger.client) == before


class LostAnswer:
    """A connection that loses the answer of the first write, and asks again."""

    def __init__(self) -> None:
        self.lost = False
        self._run_many = record_table.run_many

    def __call__(self, client: Any, script: Any, calls: Any) -> Any:
        answers = self._run_many(client, script, calls)
        if not self.lost:
            self.lost = True
            return self._run_many(client, script, calls)
        return answers


def test_a_write_whose_answer_was_lost_counts_as_ours(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker would claim a visit and not know it: a crash that was none."""
    put(ledger)
    connection = LostAnswer()
    monkeypatch.setattr(record_table, "run_many", connection)
    changed = ledger.update(
        VISIT,
        lambda r: record.claimed(r, "t", "w", 1.0) if r.state == State.QUEUED else None,
        lease=30.0,
    )
    assert connection.lost
    assert changed is not None
    assert changed.token == "t"


def test_many_visits_are_written_and_read_in_order(ledger: RedisLedger) -> None:
    visits = [Visit("p", f"v{number:04d}") for number in range(1201)]
    pairs = [(None, record.new(visit, OPTIONS, 0, 1.0)) for visit in visits]
    assert ledger.put_many(pairs) == [True] * len(visits)
    assert ledger.put_many(pairs[:2]) == [False, False]
    assert [entry.record.visit for entry in ledger.get_many(visits) if entry] == visits
    assert ledger.visits("p") == visits
    assert ledger.visits("p", [State.DONE]) == []
    assert [each.visit for each in ledger.records("p", [State.QUEUED])] == visits
    assert ledger.counts("p")[State.QUEUED] == 1201
    assert ledger.projects() == ["p"]


def run_at_once(task: Callable[[], None], count: int) -> None:
    """Run a task in `count` threads, and raise what one of them raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_writers_at_once_lose_no_update(
    ledger: RedisLedger, connect: Callable[[], Any]
) -> None:
    """Each of four writers raises the generation 25 times: it ends at 101."""
    put(ledger)

    def write() -> None:
        mine = RedisLedger(connect())
        for _ in range(25):
            assert mine.update(VISIT, lambda r: record.enqueued(r, OPTIONS, 0, time.time()))

    run_at_once(write, 4)
    entry = ledger.get(VISIT)
    assert entry is not None
    assert (entry.record.generation, entry.version) == (101, "101")
    check_indexes(ledger)


def test_of_many_who_claim_at_once_one_gets_the_visit(
    ledger: RedisLedger, connect: Callable[[], Any]
) -> None:
    put(ledger)
    claimed: list[Record] = []

    def claim() -> None:
        word = token()

        def change(current: Record) -> Record | None:
            current_message = record.claimable(current, "fetch", 1)
            return record.claimed(current, word, "w", 1.0) if current_message else None

        if changed := RedisLedger(connect()).update(VISIT, change, lease=30.0):
            claimed.append(changed)

    run_at_once(claim, 8)
    entry = ledger.get(VISIT)
    assert entry is not None
    assert [each.token for each in claimed] == [entry.record.token]
