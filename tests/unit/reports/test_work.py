"""What the records of a project say, summed up."""

from __future__ import annotations

from dataclasses import replace

from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record, State, StepRecord
from icfqueue.reports.work import Effort, Failures, work_of


def made(visit: str, state: State, cause: str | None = None, at: float = 0.0) -> Record:
    fresh = record.new(Visit("p", visit), Options("https://x"), 0, 0.0)
    one = StepRecord(state, attempts=1, seconds=2.0)
    steps = (one,) * 6 if state == State.DONE else (one, *fresh.steps[1:])
    error = {"message": "m"} | ({"cause": cause} if cause else {})
    return replace(
        fresh,
        steps=steps,
        tar_bytes=600,
        finished_at=at,
        error=error if state == State.FAILED else None,
    )


def test_visits_are_counted_timed_and_their_failures_grouped() -> None:
    found = work_of(
        [
            made("v1", State.DONE, at=20.0),
            made("v2", State.DONE, at=10.0),
            made("v5", State.FAILED, "cut"),
            made("v4", State.FAILED, "cut"),
            made("v6", State.FAILED, "of a newer release"),
            made("v7", State.FAILED),
            made("v3", State.QUEUED),
        ]
    )
    assert found.counts == {"queued": 1, "done": 2, "failed": 4}
    assert found.efforts == [Effort("v2", 600, 12.0, 10.0), Effort("v1", 600, 12.0, 20.0)]
    assert found.efforts[0].rate == 50.0
    first, *others = found.failures
    assert (first.cause, first.count, first.example) == ("cut", 2, "v4")
    assert first.remedy == "obtain the tarball again"
    assert [group.cause for group in others] == ["of a newer release", "unknown"]
    assert others[0] == Failures("of a newer release", 1, "v6", "", "")
