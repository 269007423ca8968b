"""The state machine of a visit: pure functions, in a table and at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from icfqueue.core.errors import BadTarball, Cancelled, LeaseLost, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.priority import MAX_PRIORITY
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import Fail, RetryIn

VISIT = Visit("study_1", "v1")
OPTIONS = Options("https://data.example.org")
TROUBLE = NetworkTrouble("reset", hint="wait").at(project="p", visit="v", step="fetch")
BAD = BadTarball("cut", hint="again").at(project="p", visit="v", step="fetch")


def queued() -> Record:
    return record.new(VISIT, OPTIONS, 0, 100.0)


def running() -> Record:
    return record.claimed(queued(), "t1", "host:1", 101.0)


def waiting() -> Record:
    return record.failed(running(), TROUBLE, RetryIn(10.0), 102.0)


def failed() -> Record:
    return record.failed(running(), BAD, Fail(), 102.0)


def at_step(name: str, state: State = State.QUEUED) -> Record:
    """Return a visit that has come as far as step `name`."""
    found = queued()
    while found.step != name:
        found = record.claimed(found, "t", "host:1", 100.0)
        found = record.finished(found, Outcome(worked=True), 101.0)
    if state == State.RUNNING:
        found = record.claimed(found, "t1", "host:1", 102.0)
    return found


def done() -> Record:
    last = at_step(NAMES[-1], State.RUNNING)
    return record.finished(last, Outcome(worked=True), 103.0)


def test_a_new_visit_is_queued_at_the_first_step() -> None:
    found = queued()
    assert (found.state, found.step, found.generation) == (State.QUEUED, "fetch", 1)
    assert (found.attempts, found.queued_at, found.begun) == (0, 100.0, False)
    assert [step.state for step in found.steps[1:]] == ["pending"] * 5


Change = Callable[[Record], Record]

TABLE: list[tuple[str, Record, Change, dict[str, object], dict[str, object]]] = [
    (
        "claim",
        queued(),
        lambda r: record.claimed(r, "t1", "host:1", 101.0),
        {"state": State.RUNNING, "token": "t1", "began": 101.0, "started_at": 101.0},
        {"attempts": 1, "worker": "host:1"},
    ),
    (
        "claim again keeps the first start",
        record.due_again(waiting()),
        lambda r: record.claimed(r, "t2", "host:2", 200.0),
        {"started_at": 101.0, "began": 200.0, "error": TROUBLE.to_dict()},
        {"attempts": 2, "faults": 1, "worker": "host:2"},
    ),
    (
        "finish",
        running(),
        lambda r: record.finished(r, Outcome(worked=True, tar_bytes=7, dicoms=2), 103.5),
        {"state": State.QUEUED, "step": "index_tar", "token": "", "began": None}
        | {"tar_bytes": 7, "dicoms": 2, "finished_at": None, "error": None},
        {"attempts": 0},
    ),
    (
        "finish the last step",
        at_step("cleanup", State.RUNNING),
        lambda r: record.finished(r, Outcome(worked=False), 105.0),
        {"state": State.DONE, "step": "cleanup", "finished_at": 105.0, "active": False},
        {},
    ),
    (
        "fail for now",
        running(),
        lambda r: record.failed(r, TROUBLE, RetryIn(10.0), 102.0),
        {"state": State.WAITING, "due": 112.0, "token": "", "finished_at": None}
        | {"error": TROUBLE.to_dict(), "active": True},
        {"attempts": 1, "faults": 1, "seconds": 1.0},
    ),
    (
        "fail for good",
        running(),
        lambda r: record.failed(r, BAD, Fail(), 102.0),
        {"state": State.FAILED, "due": None, "finished_at": 102.0, "token": ""}
        | {"error": BAD.to_dict(), "active": False},
        {"attempts": 1, "faults": 1},
    ),
    (
        "put off: no attempt is counted",
        running(),
        lambda r: record.postponed(r, TROUBLE, 500.0),
        {"state": State.WAITING, "due": 500.0, "error": TROUBLE.to_dict()},
        {"attempts": 0, "faults": 0},
    ),
    (
        "put off for no reason keeps the last one",
        record.claimed(record.due_again(waiting()), "t2", "host:2", 200.0),
        lambda r: record.postponed(r, None, 500.0),
        {"state": State.WAITING, "error": TROUBLE.to_dict()},
        {"attempts": 1, "faults": 1},
    ),
    (
        "give back: no attempt is counted",
        running(),
        record.given_back,
        {"state": State.QUEUED, "token": "", "generation": 1, "began": None},
        {"attempts": 0, "faults": 0, "crashes": 0},
    ),
    (
        "due",
        waiting(),
        record.due_again,
        {"state": State.QUEUED, "due": None, "generation": 1},
        {"attempts": 1, "faults": 1},
    ),
    (
        "orphan",
        running(),
        record.orphaned,
        {"state": State.QUEUED, "token": "", "generation": 1},
        {"attempts": 1, "crashes": 1},
    ),
    (
        "cancel while running",
        running(),
        lambda r: record.cancelled(r, 110.0),
        {"state": State.CANCELLED, "generation": 2, "token": "", "finished_at": 110.0},
        {"attempts": 1},
    ),
    (
        "cancel while waiting",
        waiting(),
        lambda r: record.cancelled(r, 110.0),
        {"state": State.CANCELLED, "generation": 2, "due": None, "step": "fetch"},
        {},
    ),
    (
        "retry forgives faults and keeps what was tried",
        failed(),
        lambda r: record.resumed(r, 120.0),
        {"state": State.QUEUED, "generation": 2, "error": None, "queued_at": 120.0}
        | {"started_at": None, "finished_at": None},
        {"attempts": 1, "faults": 0, "crashes": 0},
    ),
    (
        "retry after cancel goes on from the step",
        record.cancelled(at_step("export_repo"), 110.0),
        lambda r: record.resumed(r, 120.0),
        {"state": State.QUEUED, "step": "export_repo", "generation": 3},
        {},
    ),
    (
        "what was tried again began after that",
        record.resumed(failed(), 120.0),
        lambda r: record.claimed(r, "t2", "w", 130.0),
        {"queued_at": 120.0, "started_at": 130.0},
        {},
    ),
    (
        "enqueue again begins anew",
        done(),
        lambda r: record.enqueued(r, replace(OPTIONS, force=True), 3, 130.0),
        {"state": State.QUEUED, "step": "fetch", "generation": 2, "priority": 3}
        | {"started_at": None, "finished_at": None, "refs": None, "attempts": 0},
        {},
    ),
    (
        "force while running takes the lease away",
        running(),
        lambda r: record.enqueued(r, OPTIONS, 0, 130.0),
        {"state": State.QUEUED, "token": "", "generation": 2},
        {},
    ),
]


@pytest.mark.parametrize(
    ("before", "change", "fields", "step"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_each_change_gives_the_record_that_the_table_says(
    before: Record, change: Change, fields: dict[str, object], step: dict[str, object]
) -> None:
    after = change(before)
    assert {name: getattr(after, name) for name in fields} == fields
    if after.state != State.DONE:
        current = after.steps[after.position]
        assert {name: getattr(current, name) for name in step} == step
    assert Record.from_json(after.to_json()) == after


@pytest.mark.parametrize(
    ("found", "step", "generation", "expected"),
    [
        (queued(), "fetch", 1, True),
        (queued(), "fetch", 2, False),
        (queued(), "index_tar", 1, False),
        (running(), "fetch", 1, False),
        (waiting(), "fetch", 1, False),
        (done(), "cleanup", 1, False),
        (record.cancelled(queued(), 1.0), "fetch", 2, False),
    ],
)
def test_only_a_message_of_this_generation_and_step_says_something(
    found: Record, step: str, generation: int, expected: bool
) -> None:
    assert record.claimable(found, step, generation) is expected


def test_a_lease_is_held_with_token_and_generation_only() -> None:
    record.check_held(running(), "t1", 1)
    with pytest.raises(LeaseLost):
        record.check_held(running(), "t2", 1)
    with pytest.raises(LeaseLost):
        record.check_held(record.orphaned(running()), "t1", 1)
    with pytest.raises(LeaseLost):
        record.check_held(record.orphaned(running()), "", 1)
    with pytest.raises(Cancelled):
        record.check_held(record.cancelled(running(), 1.0), "t1", 1)


def test_what_a_step_does_not_tell_stays_as_it_was() -> None:
    found = record.finished(running(), Outcome(worked=True, tar_bytes=7, tar_md5="a"), 1.0)
    found = record.claimed(found, "t", "w", 2.0)
    found = record.finished(found, Outcome(worked=True, dicoms=0), 3.0)
    assert (found.tar_bytes, found.tar_md5, found.dicoms) == (7, "a", 0)


def test_a_record_takes_about_a_kilobyte() -> None:
    refs = {"refs/heads/master": "a" * 40, "refs/heads/git-annex": "b" * 40}
    found = replace(done(), refs=refs, tar_md5="c" * 32, tar_bytes=10**9, dicoms=5460)
    assert len(found.to_json()) < 1100
    assert "description" not in json.loads(found.to_json())


class Life(RuleBasedStateMachine):
    """Whatever happens to a visit, in any order that the callers allow."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.found = record.new(VISIT, OPTIONS, 0, self.now)
        self.highest = self.found.generation
        self.leases = 0

    def _is(self, *states: State) -> bool:
        return self.found.state in states

    @rule(seconds=st.floats(0, 1e6))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(priority=st.integers(0, MAX_PRIORITY))
    def enqueue(self, priority: int) -> None:
        before = self.found.generation
        self.found = record.enqueued(self.found, OPTIONS, priority, self.now)
        assert self.found.generation == before + 1

    @precondition(lambda self: self._is(State.QUEUED))
    @rule()
    def claim(self) -> None:
        assert record.claimable(self.found, self.found.step, self.found.generation)
        self.leases += 1
        self.found = record.claimed(self.found, f"t{self.leases}", "host:1", self.now)

    @precondition(lambda self: self._is(State.RUNNING))
    @rule(dicoms=st.none() | st.integers(0, 9), size=st.none() | st.integers(0, 2**40))
    def finish(self, dicoms: int | None, size: int | None) -> None:
        position = self.found.position
        outcome = Outcome(worked=True, dicoms=dicoms, tar_bytes=size)
        self.found = record.finished(self.found, outcome, self.now)
        assert self.found.position == position + 1

    @precondition(lambda self: self._is(State.RUNNING))
    @rule(wait=st.none() | st.floats(0, 1e4))
    def fail(self, wait: float | None) -> None:
        position = self.found.position
        decision = Fail() if wait is None else RetryIn(wait)
        self.found = record.failed(self.found, TROUBLE, decision, self.now)
        assert self.found.position == position

    @precondition(lambda self: self._is(State.RUNNING))
    @rule()
    def postpone(self) -> None:
        self.found = record.postponed(self.found, TROUBLE, self.now + 60)

    @precondition(lambda self: self._is(State.RUNNING))
    @rule()
    def release(self) -> None:
        self.found = record.given_back(self.found)

    @precondition(lambda self: self._is(State.RUNNING))
    @rule()
    def orphan(self) -> None:
        self.found = record.orphaned(self.found)

    @precondition(lambda self: self._is(State.WAITING))
    @rule()
    def due(self) -> None:
        self.found = record.due_again(self.found)

    @precondition(lambda self: self._is(State.FAILED, State.CANCELLED, State.WAITING))
    @rule()
    def retry(self) -> None:
        position = self.found.position
        self.found = record.resumed(self.found, self.now)
        assert self.found.position == position

    @precondition(lambda self: self.found.active)
    @rule()
    def cancel(self) -> None:
        self.found = record.cancelled(self.found, self.now)

    @invariant()
    def generations_never_fall(self) -> None:
        assert self.found.generation >= self.highest
        self.highest = self.found.generation

    @invariant()
    def a_token_is_held_if_and_only_if_it_runs(self) -> None:
        assert bool(self.found.token) == (self.found.state == State.RUNNING)
        assert (self.found.began is not None) == (self.found.state == State.RUNNING)

    @invariant()
    def exactly_one_state_follows_from_the_steps(self) -> None:
        states = [step.state for step in self.found.steps]
        position = self.found.position
        assert states[:position] == ["done"] * position
        if position == len(NAMES):
            assert self.found.state == State.DONE
        else:
            assert states[position] == self.found.state != State.DONE
            assert states[position + 1 :] == ["pending"] * (len(NAMES) - position - 1)

    @invariant()
    def numbers_are_never_negative(self) -> None:
        for step in self.found.steps:
            assert min(step.attempts, step.faults, step.crashes) >= 0
            assert step.seconds is None or step.seconds >= 0

    @invariant()
    def times_fit_the_state(self) -> None:
        found = self.found
        assert (found.due is not None) == (found.state == State.WAITING)
        ended = found.state in {State.DONE, State.FAILED, State.CANCELLED}
        assert (found.finished_at is not None) == ended
        assert found.state != State.FAILED or found.error is not None

    @invariant()
    def it_survives_json(self) -> None:
        assert Record.from_json(self.found.to_json()) == self.found


Life.TestCase.settings = hypothesis_settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
TestLife = Life.TestCase


def test_a_visit_that_is_streamed_is_served_among_the_downloads_until_it_is_read() -> None:
    """And what was known of a file that was here before is known no more."""
    look = (1, 2, 3, 4)
    found = replace(running(), fingerprint=look, tar_md5="of the file")
    outcome = Outcome(worked=True, tar_bytes=7, streamed=True)
    found = record.finished(found, outcome, 1.0)
    assert (found.step, found.ticket.name, found.streamed) == ("index_tar", "fetch", True)
    assert (found.fingerprint, found.tar_md5) == (None, None)
    assert record.claimable(found, "fetch", 1)
    assert not record.claimable(found, "index_tar", 1)
    again = record.orphaned(record.claimed(found, "t", "host:1", 2.0))
    assert (again.step, again.ticket.name) == ("index_tar", "fetch")
    found = record.claimed(found, "t", "host:1", 2.0)
    outcome = Outcome(worked=True, tar_md5="of the stream", streamed=True)
    found = record.finished(found, outcome, 3.0)
    assert (found.step, found.ticket.name) == ("write_json", "write_json")
    assert (found.fingerprint, found.tar_md5) == (None, "of the stream")
    assert not record.enqueued(found, OPTIONS, 0, 4.0).streamed
