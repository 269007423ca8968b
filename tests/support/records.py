"""Records of visits in every state."""

from __future__ import annotations

from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import Fail, RetryIn

OPTIONS = Options("https://data.example.org")
REFS = {"refs/heads/master": "a" * 40, "refs/heads/git-annex": "b" * 40}
NOW = 1_700_000_000.25
"""When they were enqueued."""


def a_record(state: State) -> Record:
    """Return a visit in `state`, called by it."""
    found = record.new(Visit("study_1", state), OPTIONS, 0, NOW).with_size(100)
    if state == State.QUEUED:
        return found
    if state == State.CANCELLED:
        return record.cancelled(found, NOW + 1)
    found = record.claimed(found, "t", "host:7", NOW + 1)
    bad = BadTarball('member x,\n"y" is cut', hint="get it again")
    trouble = NetworkTrouble("reset")
    for error in (bad, trouble):
        error.at(project="study_1", visit=state, step="fetch")
    if state == State.FAILED:
        return record.failed(found, bad, Fail(), NOW + 3)
    if state == State.WAITING:
        return record.failed(found, trouble, RetryIn(9.0), NOW + 3)
    while state == State.DONE and found.state != State.DONE:
        outcome = Outcome(worked=True, dicoms=3, refs=REFS)
        found = record.finished(found, outcome, NOW + 3)
        if found.state == State.QUEUED:
            found = record.claimed(found, "t", "host:8", NOW + 2)
    return found
