"""Indexes and sums say what a scan of all records would say."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.ledger import OPTIONS, VISIT, advance, check_indexes, claim, finish, put

from icfqueue.core.errors import NetworkTrouble
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import ACTIVE, Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.retry_policy import Fail, RetryIn

MOVES = (
    *("claim", "finish", "fail", "wait", "release", "orphan"),
    *("due", "cancel", "retry", "new", "postpone"),
)


def move(ledger: RedisLedger, visit: Visit, what: str, number: int) -> None:
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

    def change(current: Record) -> Record | None:
        states, to = table[what]
        return to(current) if current.state in states else None

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
    ledger: RedisLedger, moves: list[tuple[Visit, str]]
) -> None:
    """After any sequence of changes, of three visits in two projects."""
    ledger.client.flushall()
    put(ledger, Visit("p", "a"))
    for number, (visit, what) in enumerate(moves, 1):
        move(ledger, visit, what, number)
    check_indexes(ledger)


def test_sums_follow_a_visit_to_its_end_and_back(ledger: RedisLedger) -> None:
    put(ledger)
    claim(ledger)
    finish(ledger, tar_bytes=100)
    assert ledger.totals("p") == {"tar_bytes": 100, "read_bytes": 0, "read_dicoms": 0}
    advance(ledger, VISIT, "cleanup")
    claim(ledger)
    finish(ledger, dicoms=7)
    assert ledger.totals("p") == {"tar_bytes": 100, "read_bytes": 100, "read_dicoms": 7}
    ledger.update(VISIT, lambda r: record.enqueued(r, OPTIONS, 0, 1.0))
    assert ledger.totals("p") == {"tar_bytes": 0, "read_bytes": 0, "read_dicoms": 0}
