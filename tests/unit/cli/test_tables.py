"""Tables, JSON and CSV of the status as they are printed."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from support.records import a_record

from icfqueue.cli import tables
from icfqueue.cli.tables import Question
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations import status


@pytest.fixture
def full(ledger: RedisLedger) -> RedisLedger:
    """A project with one visit in each state."""
    ledger.put_many([(None, a_record(state)) for state in State])
    return ledger


def as_json(
    ledger: RedisLedger,
    project: str | None = None,
    visit: str | None = None,
    state: str | None = None,
) -> Any:
    asked = Question(project, visit, state)
    return json.loads("".join(tables.json_lines(ledger, asked)))


def test_json_is_of_all_projects_of_one_or_of_a_visit(full: RedisLedger) -> None:
    (line,) = as_json(full)
    assert (line["project"], line["counts"]["failed"]) == ("study_1", 1)
    found = as_json(full, "study_1", state="failed")
    assert [visit["visit"] for visit in found["visits"]] == ["failed"]
    assert as_json(full, "study_1", "failed") == found["visits"][0]
    with pytest.raises(UsageError, match="study_1/none was never enqueued"):
        as_json(full, "study_1", "none")


def test_lines_with_commas_quotes_and_newlines_survive_csv(
    full: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.once(full, Question("study_1"), "csv") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == list(status.CSV_FIELDS)
    by_id = {row["visit"]: row for row in rows}
    assert by_id["failed"]["error_message"] == 'member x,\n"y" is cut'
    assert by_id["failed"]["seconds"] == "2.0"
    assert by_id["done"]["worker"] == "host:8"
    assert by_id["queued"]["started_at"] == ""
    tables.once(full, Question(), "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["project"], row["waiting"], row["read_dicoms"]) == ("study_1", "1", "3")


@pytest.mark.parametrize("visit", [None, *State])
def test_the_table_of_every_state_can_be_printed(
    full: RedisLedger, capsys: pytest.CaptureFixture[str], visit: str | None
) -> None:
    code = tables.once(full, Question("study_1", visit), "table")
    assert code == (visit in {None, "failed"})
    assert "study_1" in capsys.readouterr().out


def test_text_with_marks_of_the_table_library_is_shown_as_it_is(
    ledger: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A member called "[red]x[/]" is no order to print in red, and no error."""
    found = a_record(State.FAILED)
    error = dict(found.error or {}, message="member [/x] [red]y", hint="[/]")
    ledger.put_many([(None, replace(found, error=error))])
    for visit in (None, "failed"):
        tables.once(ledger, Question("study_1", visit), "table")
        assert "member [/x] [red]y" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "code"), [(None, 1), ("failed", 1), ("done", 0), ("queued", 0)]
)
def test_only_failed_visits_that_are_shown_count(
    full: RedisLedger, capsys: pytest.CaptureFixture[str], state: str | None, code: int
) -> None:
    assert tables.once(full, Question("study_1", None, state), "json") == code
    assert json.loads(capsys.readouterr().out)["project"] == "study_1"


def test_the_exit_code_is_of_one_visit_one_project_or_all(full: RedisLedger) -> None:
    assert tables.exit_code(full, None) == 1
    assert tables.exit_code(full, "study_1") == 1
    assert tables.exit_code(full, "study_2") == 0
    assert tables.exit_code(full, "study_1", "done") == 0
    assert tables.exit_code(full, "study_1", "failed") == 1


def test_where_nothing_was_enqueued_the_table_says_what_to_do(
    ledger: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.once(ledger, Question(), "table") == 0
    assert "icfqueue run PROJECT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Question("study_1", causes=["damaged"]), 1),
        (Question("study_1", causes=["network"]), 0),
        (Question("study_1", causes=["damaged"], state="waiting"), 0),
        (Question("study_1", among=[Visit("study_1", "failed")]), 1),
        (Question("study_1", among=[Visit("study_1", "done")]), 0),
        (Question("study_1", everything=True), 1),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_only_failed_visits_that_are_asked_for_count(
    full: RedisLedger,
    capsys: pytest.CaptureFixture[str],
    asked: Question,
    code: int,
    form: str,
) -> None:
    assert tables.once(full, asked, form) == code
    assert capsys.readouterr().out


def test_watching_shows_it_again_and_again_until_ctrl_c(
    full: RedisLedger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tables.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        tables.watch(full, Question("study_1"), 1.5)
    assert pauses == [1.5] * 3
    assert "6 visits" in capsys.readouterr().out
