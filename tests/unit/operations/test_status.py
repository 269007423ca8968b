"""Status as JSON, CSV and a table, from records in every state."""

from __future__ import annotations

import copy
import csv
import io
import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from support.schema import check_status

from icfqueue.cli import tables
from icfqueue.core.errors import BadTarball, NetworkTrouble
from icfqueue.core.options import Options, Outcome
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.retry_policy import Fail, RetryIn
from icfqueue.operations import status

OPTIONS = Options("https://data.example.org")
REFS = {"refs/heads/master": "a" * 40, "refs/heads/git-annex": "b" * 40}
NOW = 1_700_000_000.25


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


@pytest.fixture
def full(ledger: Ledger) -> Ledger:
    """A project with one visit in each state."""
    ledger.put_many([(None, a_record(state)) for state in State])
    return ledger


def as_json(
    ledger: Ledger,
    project: str | None = None,
    visit: str | None = None,
    state: str | None = None,
) -> Any:
    return json.loads("".join(tables.json_lines(ledger, project, visit, state)))


def test_every_state_fits_the_documented_form(full: Ledger) -> None:
    found = as_json(full, "study_1")
    check_status(found)
    assert found["counts"] == {state.value: 1 for state in State}
    assert [visit["state"] for visit in found["visits"]] == sorted(State)
    done = next(visit for visit in found["visits"] if visit["state"] == "done")
    assert done["refs"] == REFS
    assert done["started_at"] == "2023-11-14T22:13:21.250+00:00"


def test_only_some_states_are_listed_and_all_six_counted(full: Ledger) -> None:
    found = as_json(full, "study_1", state="failed")
    check_status(found)
    assert [visit["visit"] for visit in found["visits"]] == ["failed"]
    assert sum(found["counts"].values()) == 6


def test_one_visit_is_an_entry_of_the_list(full: Ledger) -> None:
    whole = as_json(full, "study_1")["visits"]
    assert as_json(full, "study_1", "failed") in whole


def _without(found: dict[str, Any], *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(found)
    here: Any = changed
    for word in path[:-1]:
        here = here[word]
    del here[path[-1]]
    return changed


def test_the_documented_form_is_strict(full: Ledger) -> None:
    found = as_json(full, "study_1")
    wrong = [
        _without(found, "counts", "waiting"),
        _without(found, "visits", 0, "worker" if "worker" in found else "error"),
        _without(found, "visits", 0, "steps", 2),
        _without(found, "visits", 0, "steps", 2, "worker"),
        found | {"more": 1},
    ]
    for changes in ({"state": "lost"}, {"tar_bytes": -1}, {"refs": {"x": "y"}}):
        wrong.append(copy.deepcopy(found))
        wrong[-1]["visits"][0] |= changes
    for case in wrong:
        with pytest.raises(jsonschema.ValidationError):
            check_status(case)


def test_a_project_in_one_line(full: Ledger) -> None:
    line = status.summary(full, "study_1")
    assert (line.visits, line.active, line.drained) == (6, 3, False)
    assert (line.tar_bytes, line.read_bytes, line.read_dicoms) == (600, 100, 3)
    (found,) = as_json(full)
    assert found["counts"] == {state.value: 1 for state in State}
    assert found["project"] == "study_1"


def test_lines_with_commas_quotes_and_newlines_survive_csv(
    full: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.once(full, "study_1", None, None, "csv") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == list(status.CSV_FIELDS)
    by_id = {row["visit"]: row for row in rows}
    assert by_id["failed"]["error_message"] == 'member x,\n"y" is cut'
    assert by_id["failed"]["seconds"] == "2.0"
    assert by_id["done"]["worker"] == "host:8"
    assert by_id["queued"]["started_at"] == ""
    tables.once(full, None, None, None, "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["project"], row["waiting"], row["read_dicoms"]) == ("study_1", "1", "3")


@pytest.mark.parametrize("visit", [None, *State])
def test_the_table_of_every_state_can_be_printed(
    full: Ledger, capsys: pytest.CaptureFixture[str], visit: str | None
) -> None:
    code = tables.once(full, "study_1", visit, None, "table")
    assert code == (visit in {None, "failed"})
    assert "study_1" in capsys.readouterr().out


def test_where_there_is_not_room_for_all_visits_those_at_work_are_shown_first(
    full: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.console().print(tables.table(full, "study_1", None, None, room=2))
    said = capsys.readouterr().out
    shown = [line.split("│")[1].strip() for line in said.splitlines() if "│" in line]
    assert shown == ["running", "failed"]
    assert "… and 4 more" in said
    assert "6 visits" in said
    tables.console().print(tables.table(full, "study_1", None, "done", room=2))
    assert "more" not in capsys.readouterr().out


def test_text_with_marks_of_the_table_library_is_shown_as_it_is(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A member called "[red]x[/]" is no order to print in red, and no error."""
    found = a_record(State.FAILED)
    error = dict(found.error or {}, message="member [/x] [red]y", hint="[/]")
    ledger.put_many([(None, replace(found, error=error))])
    for visit in (None, "failed"):
        tables.once(ledger, "study_1", visit, None, "table")
        assert "member [/x] [red]y" in capsys.readouterr().out


def test_times_are_utc_with_milliseconds() -> None:
    assert status.iso(None) is None
    assert status.iso(0.0) == "1970-01-01T00:00:00.000+00:00"
    assert status.iso(NOW) == "2023-11-14T22:13:20.250+00:00"


def test_the_seconds_are_those_of_the_steps_without_waits() -> None:
    assert status.worked_seconds(a_record(State.QUEUED)) is None
    assert status.worked_seconds(a_record(State.DONE)) == 2.0 + 5 * 1.0
