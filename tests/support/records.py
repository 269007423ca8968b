"""Records of visits in every state."""

from __future__ import annotations

from dataclasses import replace

from icfqueue.core.errors import BadTarball, NetworkTrouble, StepError
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


def failed_with(visit: Visit, error: StepError) -> Record:
    """Return a visit whose first step failed for good."""
    found = record.new(visit, OPTIONS, 0, NOW).with_size(100)
    found = record.claimed(found, "t", "host:7", NOW + 1)
    error.at(project=visit.project, visit=visit.id, step="fetch")
    return record.failed(found, error, Fail(), NOW + 3)


def troubled_project(
    project: str = "study_1", done: int = 1492, failed: int = 508
) -> list[Record]:
    """Return the visits of a long project, of which many failed for three causes.

    All but one in eight tarballs were cut; of the others half met the network, half are
    compressed. Ids are ``sub-0001`` and so on, those that failed come first.
    """
    made = []
    for number in range(1, failed + 1):
        visit = Visit(project, f"sub-{number:04}")
        where = f"{project}/{visit.tarball}"
        error: StepError = BadTarball(
            f"{where} ends after {number * 512} bytes, within the member "
            f"{visit.id}/MR1/{number * 7919}.dcm",
            cause="cut",
        )
        if number % 16 == 7:
            error = NetworkTrouble(f"https://data.example.org/{where}: connection reset")
        elif number % 16 == 15:
            error = BadTarball(
                f"{where} is compressed with gzip",
                hint=f"unpack it: mv {where} {where}.gz && gunzip {where}.gz",
                cause="gzip",
            )
        made.append(failed_with(visit, error))
    whole = a_record(State.DONE)
    others = range(failed + 1, failed + done + 1)
    return made + [
        replace(whole, visit=Visit(project, f"sub-{number:04}")) for number in others
    ]
