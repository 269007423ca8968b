"""One attempt at one step: whatever the work does, the record says what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import redis
from msgspec import structs
from support.in_process_queue import URL, InProcessQueue

from icfqueue.core.errors import (
    AccessDenied,
    BadTarball,
    Cancelled,
    DiskTrouble,
    Interrupted,
    LeaseLost,
    NetworkTrouble,
    NoRoom,
    NotSeen,
    PermanentError,
    PutOff,
    StepError,
    StoreBusy,
)
from icfqueue.core.options import Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.pipeline import attempt
from icfqueue.pipeline.attempt import Attempt
from icfqueue.pipeline.heartbeat import Heartbeat
from icfqueue.steps.job import Job

V = Visit("study_1", "v")
W = Visit("study_1", "w")


@dataclass
class Work:
    """What a step does here: returns or raises what it was told to.

    Attributes
    ----------
    result
        For every visit; an exception that is raised, or an outcome or error of each.
    seen
        The jobs that it was called with.
    meanwhile
        What happens while it works.
    """

    result: Exception | Outcome | Mapping[Visit, Outcome | StepError]
    meanwhile: Callable[[], object] = lambda: None
    seen: list[Job] = field(default_factory=list)

    def __call__(self, jobs: Sequence[Job]) -> Mapping[Visit, Outcome | StepError]:
        self.seen += jobs
        self.meanwhile()
        if isinstance(self.result, Exception):
            raise self.result
        if isinstance(self.result, Outcome):
            return {job.visit: self.result for job in jobs}
        return self.result


@pytest.fixture
def enqueued(in_process_queue: InProcessQueue) -> InProcessQueue:
    """Two visits are enqueued; their messages are gone."""
    in_process_queue.enqueue([V, W])
    while in_process_queue.take():
        pass
    return in_process_queue


def make(queue: InProcessQueue, work: Work, step: str = "fetch", *visits: Visit) -> str:
    """Make one attempt at `step`, for `V` unless other visits are named."""
    chosen = visits or (V,)
    for visit in chosen:
        queue.advance(visit, step)
    held = [queue.hold(visit) for visit in chosen]
    return Attempt(queue.worker, step, held).run(work).word


def test_what_succeeded_is_recorded_and_the_next_step_sent(
    enqueued: InProcessQueue,
) -> None:
    work = Work(Outcome(worked=True, tar_bytes=7, tar_md5="a" * 32))
    assert make(enqueued, work) == "queued"
    found = enqueued.record(V)
    assert (found.step, found.state, found.token) == ("index_tar", State.QUEUED, "")
    assert (found.tar_bytes, found.tar_md5) == (7, "a" * 32)
    assert enqueued.take() == ("index_tar", "study_1", "v", 1)
    assert enqueued.take() is None


def test_a_job_has_what_the_record_asks_for_and_the_guard_of_its_attempt(
    enqueued: InProcessQueue,
) -> None:
    enqueued.ledger.update(V, lambda r: record.enqueued(r, r.options, 0, 1.0))
    work = Work(Outcome(worked=True))
    make(enqueued, work)
    (job,) = work.seen
    found = enqueued.record(V)
    assert (job.visit, job.options) == (V, found.options)
    assert job.store is enqueued.store
    assert job.settings is enqueued.worker.settings
    assert isinstance(job.guard, Heartbeat)
    assert job.guard.tokens == {V: "t"}


@pytest.mark.parametrize(
    ("error", "state", "kind"),
    [
        (BadTarball("cut", hint="again"), State.FAILED, "BadTarball"),
        (NetworkTrouble("reset"), State.WAITING, "NetworkTrouble"),
        (ZeroDivisionError("DOE^JANE"), State.FAILED, "PermanentError"),
        (PermissionError(13, "Permission denied", "/store/x"), State.FAILED, ""),
        (OSError(5, "Input/output error", "/store/x"), State.WAITING, "DiskTrouble"),
    ],
)
def test_what_the_work_raises_is_an_entry_of_the_record_and_goes_no_further(
    enqueued: InProcessQueue, error: Exception, state: State, kind: str
) -> None:
    assert make(enqueued, Work(error), "index_tar") == state.value
    found = enqueued.record(V)
    assert found.error is not None
    assert found.error["type"] == (kind or "PermanentError")
    assert found.error["step"] == "index_tar"
    assert "DOE" not in str(found.error)
    assert (found.state, found.steps[1].faults, found.steps[1].attempts) == (state, 1, 1)
    assert enqueued.take() is None


def test_an_outcome_that_no_record_can_hold_is_a_fault_and_not_written(
    enqueued: InProcessQueue,
) -> None:
    """Else nobody could read the record until it is forgotten."""
    assert make(enqueued, Work(Outcome(worked=True, tar_bytes=2**62))) == "failed"
    found = enqueued.record(V)
    assert found.tar_bytes is None
    assert found.error is not None
    assert "unexpected ValueError: this is a fault of icfqueue" in found.error["message"]


def test_a_transient_failure_is_tried_as_often_as_is_set(enqueued: InProcessQueue) -> None:
    enqueued.worker.settings = structs.replace(enqueued.settings, max_attempts=2)
    assert make(enqueued, Work(NetworkTrouble("x")), "index_tar") == "waiting"
    enqueued.ledger.update(V, record.due_again)
    assert make(enqueued, Work(NetworkTrouble("x")), "index_tar") == "failed"
    assert enqueued.record(V).steps[1].faults == 2


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Interrupted("stopping"), State.QUEUED),
        (LeaseLost("gone"), State.QUEUED),
        (PutOff(StoreBusy("busy"), 60.0), State.WAITING),
        (DiskTrouble("full"), State.WAITING),
        (NoRoom("does not fit"), State.WAITING),
        (StoreBusy("busy", retry_after=60.0), State.WAITING),
    ],
)
def test_what_is_no_fault_of_the_visit_counts_no_attempt(
    enqueued: InProcessQueue, error: Exception, state: State
) -> None:
    make(enqueued, Work(error))
    found = enqueued.record(V)
    assert (found.state, found.token) == (state, "")
    assert (found.steps[0].attempts, found.steps[0].faults) == (0, 0)
    # Given back, it is the next worker's at once; put off, it has a time.
    assert (enqueued.take() is not None) == (state == State.QUEUED)
    assert (found.due is not None) == (state == State.WAITING)


@pytest.mark.parametrize("error", [Cancelled("x"), LeaseLost("x"), Interrupted("x")])
def test_work_that_is_called_off_is_no_failure_of_the_step(error: Exception) -> None:
    assert attempt._as_fault(error) is error


def test_while_the_disk_rests_a_step_is_not_begun_and_nothing_noted_anew(
    enqueued: InProcessQueue,
) -> None:
    make(enqueued, Work(DiskTrouble("no space left")))
    noted = enqueued.ledger.notes.ends_in("rest:disk")
    work = Work(Outcome(worked=True))
    assert make(enqueued, work, "index_tar", W) == "waiting"
    assert not work.seen
    assert 0.0 < enqueued.ledger.notes.ends_in("rest:disk") <= noted
    found = enqueued.record(W)
    assert found.error is not None
    assert (found.error["message"], found.error["step"]) == ("no space left", "index_tar")


@pytest.mark.parametrize("room", [1 << 40, 1])
def test_a_visit_that_did_not_fit_is_begun_only_if_it_may_fit_now(
    enqueued: InProcessQueue, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Its size is remembered, so that the store need not be asked for it."""
    make(enqueued, Work(NoRoom("does not fit", size=1000)))
    assert enqueued.record(V).tar_bytes == 1000
    enqueued.ledger.update(V, record.due_again)
    monkeypatch.setattr(type(enqueued.store), "room", lambda _: room)
    work = Work(Outcome(worked=True))
    assert make(enqueued, work) == ("waiting" if room == 1 else "queued")
    assert bool(work.seen) is (room > 1)
    assert enqueued.record(V).steps[0].faults == 0


def test_a_hold_that_was_only_met_is_not_noted_again(enqueued: InProcessQueue) -> None:
    """'retry' lifts it while others still meet it; they must not put it back."""
    assert make(enqueued, Work(AccessDenied("401"))) == "failed"
    held = [enqueued.hold(W)]
    late = Attempt(enqueued.worker, "fetch", held)
    with pytest.raises(AccessDenied) as met:
        late._ask_leave()
    enqueued.worker.breaker.reset("study_1")
    late._settle({W: met.value})
    assert enqueued.ledger.notes.get("hold:study_1") is None


def test_a_download_that_succeeded_forgets_the_faults_of_its_store(
    enqueued: InProcessQueue,
) -> None:
    enqueued.worker.breaker.record_failure(W, NetworkTrouble("x"), URL)
    (count,) = [n for n in enqueued.ledger.client.scan_iter() if "faults" in n]
    # A tarball that was there says nothing of the store.
    make(enqueued, Work(Outcome(worked=False)))
    assert enqueued.ledger.client.exists(count)
    make(enqueued, Work(Outcome(worked=True)), "fetch", W)
    assert not enqueued.ledger.client.exists(count)


@pytest.mark.parametrize(
    ("step", "kept"), [("fetch", False), ("index_tar", False), ("export_repo", True)]
)
def test_what_a_failed_step_leaves_is_kept_where_a_later_try_can_use_it(
    enqueued: InProcessQueue, step: str, kept: bool
) -> None:
    work = enqueued.store.work_dir(V)
    enqueued.store.make_dir(work)
    (work / "index.json").touch()
    make(enqueued, Work(BadTarball("x")), step)
    assert work.exists() is kept


@pytest.mark.parametrize("how", ["cancelled", "forced"])
def test_a_visit_that_was_taken_away_meanwhile_is_left_as_it_is(
    enqueued: InProcessQueue, how: str
) -> None:
    """Its work folder goes only if nobody goes on with it."""
    work = enqueued.store.work_dir(V)
    enqueued.store.make_dir(work)
    (work / "index.json").touch()

    def take_away() -> None:
        if how == "cancelled":
            enqueued.producer.cancel([V])
        else:
            enqueued.enqueue([V], force=True)

    assert make(enqueued, Work(Outcome(worked=True), take_away)) == "withdrawn"
    found = enqueued.record(V)
    assert (found.step, found.generation) == ("fetch", 2)
    assert work.exists() is (how == "forced")


def test_of_a_batch_one_visit_fails_alone(enqueued: InProcessQueue) -> None:
    work = Work({V: PermanentError("no page"), W: Outcome(worked=True)})
    assert make(enqueued, work, "update_catalog", V, W) == "2 visits"
    assert enqueued.record(V).state == State.FAILED
    assert enqueued.record(W).step == "cleanup"
    assert enqueued.take() == ("cleanup", "study_1", "w", 1)


def test_the_first_page_of_a_study_is_made_while_others_are_on_their_way(
    enqueued: InProcessQueue,
) -> None:
    make(enqueued, Work(Outcome(worked=True)), "export_repo")
    assert enqueued.take() == ("update_catalog", "study_1", "v", 1)


def test_a_catalog_that_is_there_waits_for_those_on_their_way(
    enqueued: InProcessQueue,
) -> None:
    enqueued.store.make_dir(enqueued.store.catalog_dir("study_1"))
    make(enqueued, Work(Outcome(worked=True)), "export_repo")
    assert enqueued.take() is None
    # The last of the study to fail has it written for those that are ready.
    make(enqueued, Work(BadTarball("x")), "fetch", W)
    assert enqueued.take() == ("update_catalog", "study_1", "v", 1)


def test_events_are_logged_with_fields_and_without_the_reason(
    enqueued: InProcessQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason may name a member, hence a person: it is in the record alone."""
    caplog.set_level(logging.INFO, "icfqueue")
    make(enqueued, Work(BadTarball("member DOE^JANE is cut")), "index_tar")
    make(enqueued, Work(Outcome(worked=True)), "fetch", W)
    actions = [
        (found["action"], found["project"], found["visit"], found["step"])
        for found in map(vars, caplog.records)
        if "action" in found
    ]
    assert actions == [
        ("step.began", "study_1", "v", "index_tar"),
        ("step.failed", "study_1", "v", "index_tar"),
        ("step.began", "study_1", "w", "fetch"),
        ("step.done", "study_1", "w", "fetch"),
    ]
    assert "error=BadTarball attempt=1" in caplog.text
    assert "icfqueue status study_1 v" in caplog.text
    assert "DOE" not in caplog.text


def test_a_step_that_does_not_end_is_recorded_before_its_process_is_ended(
    enqueued: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    monkeypatch.setattr(attempt.os, "_exit", ended.append)
    monkeypatch.setattr(attempt.logging, "shutdown", lambda: None)
    hanging = Attempt(enqueued.worker, "fetch", [enqueued.hold(V)])
    hanging._give_up(Interrupted("the worker is stopping"))
    assert ended == [3]
    found = enqueued.record(V)
    assert (found.state, found.token, found.steps[0].attempts) == (State.QUEUED, "", 0)


def test_what_is_not_seen_waits_uncounted_for_a_while_and_then_counts(
    in_process_queue: InProcessQueue,
) -> None:
    queue = in_process_queue
    (visit,) = queue.build()
    queue.enqueue([visit])
    worker = queue.another(seen_within=20.0)
    worker.watch.check(make=True)
    for looks in range(6):
        held = queue.hold(visit)
        attempt = Attempt(worker, "fetch", [held])
        attempt.run(lambda _: {visit: NotSeen("it is not there")})
        found = queue.record(visit)
        assert found.state == State.WAITING
        assert found.error
        assert found.error["type"] == "NotSeen"
        assert found.steps[0].faults == max(0, looks - 3)
        queue.ledger.update(visit, record.due_again)


def test_an_answer_of_the_broker_that_means_nothing_is_no_fault_of_the_visit(
    enqueued: InProcessQueue,
) -> None:
    """It waits, uncounted, whatever somebody else wrote there."""
    error = redis.ResponseError("WRONGTYPE Operation against a key")
    assert make(enqueued, Work(error)) == "waiting"
    found = enqueued.record(V)
    assert found.error is not None
    assert (found.error["kind"], found.error["type"]) == ("transient", "TransientError")
    assert found.steps[0].faults == 0


def test_sums_that_are_none_keep_no_outcome_from_the_record(
    enqueued: InProcessQueue,
) -> None:
    enqueued.ledger.client.set("icfqueue:totals:study_1", "x")
    assert make(enqueued, Work(Outcome(worked=True, tar_bytes=7))) == "queued"
    assert enqueued.record(V).step == "index_tar"
    assert enqueued.ledger.totals("study_1")["tar_bytes"] == 7
