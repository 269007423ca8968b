"""What the log says of steps: words for a person, fields for a collector, no reason."""

from __future__ import annotations

import logging

import pytest

from icfqueue.core.errors import BadTarball, Interrupted, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import Record
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.pipeline.step_log import MOST_WORDS, Ending, say, say_outcome

V = Visit("study_1", "v")


@pytest.fixture
def running() -> Record:
    options = Options(store_url="http://127.0.0.1:9")
    made = record.enqueued(Record(V, options), options, 0, 1.0)
    return record.claimed(made, "token", "host:1", 1.0)


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "icfqueue")


def test_what_happens_is_said_in_words_and_in_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    say("step.began", V, "fetch", size=7)
    (told,) = caplog.records
    assert told.getMessage() == "step.began study_1/v fetch size=7"
    fields = vars(told)
    wanted = {
        "action": "step.began",
        "project": "study_1",
        "visit": "v",
        "step": "fetch",
        "size": 7,
    }
    assert {name: fields[name] for name in wanted} == wanted


def test_the_end_of_a_step_is_said_without_its_reason(
    running: Record, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason may name a member, hence a person."""
    cut = BadTarball("member DOE^JANE is cut")
    failed = record.failed(running, cut, Fail(), 2.0)
    say_outcome(V, "fetch", failed, cut, 0.5)
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage().startswith("step.failed study_1/v fetch error=BadTarball")
    assert "DOE" not in told.getMessage()


def test_what_is_tried_again_is_a_warning_and_what_went_well_no_word_of_one(
    running: Record, caplog: pytest.LogCaptureFixture
) -> None:
    gone = NetworkTrouble("reset")
    say_outcome(V, "fetch", record.failed(running, gone, RetryIn(1.0), 2.0), gone, 0.5)
    good = Outcome(worked=True)
    say_outcome(V, "fetch", record.finished(running, good, 3.0), good, 0.5)
    stopped = Interrupted("the worker stops")
    say_outcome(V, "fetch", record.given_back(running), stopped, 0.5)
    assert [told.levelno for told in caplog.records] == [
        logging.WARNING,
        logging.INFO,
        logging.INFO,
    ]
    assert "worked=True seconds=2.0 work_seconds=0.5" in caplog.records[1].getMessage()
    assert caplog.records[2].getMessage() == "step.given_back study_1/v fetch"


def test_the_end_of_an_attempt_names_who_failed_and_who_is_tried_again(
    running: Record,
) -> None:
    cut = BadTarball("it is \x1b[31m cut" + 1000 * "x").at(
        project="study_1", visit="v", step="fetch"
    )
    trouble = NetworkTrouble("reset").at(project="study_1", visit="w", step="fetch")
    other = Visit("study_1", "w")
    ending = Ending.of(
        "fetch",
        {
            V: record.failed(running, cut, Fail(), 2.0),
            other: record.failed(running, trouble, RetryIn(1.0), 2.0),
            Visit("study_1", "u"): None,
        },
    )
    assert ending.word == "3 visits"
    (failed,) = ending.failed
    assert failed.startswith(f"study_1/v fetch: {cut.cause}: it is \\x1b[31m cut")
    assert len(failed) == MOST_WORDS
    assert ending.again == ("study_1/w fetch: network: reset",)


def test_an_attempt_for_one_visit_ends_with_one_word(running: Record) -> None:
    done = record.finished(running, Outcome(worked=True), 2.0)
    assert Ending.of("fetch", {V: done}) == Ending("queued")
    assert Ending.of("fetch", {V: None}) == Ending("withdrawn")
