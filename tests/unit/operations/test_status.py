"""Status as JSON and rows, from records in every state."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

import jsonschema
import pytest
from support.ledger import advance, put
from support.records import NOW, REFS, a_record
from support.schema import check_status

from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import visit_key
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations import status


@pytest.fixture
def full(ledger: RedisLedger) -> RedisLedger:
    """A project with one visit in each state."""
    ledger.put_many([(None, a_record(state)) for state in State])
    return ledger


def listed(ledger: RedisLedger, states: Iterable[State] = State) -> Any:
    wanted = status.Wanted(tuple(states))
    return json.loads("".join(status.project_lines(ledger, "study_1", wanted)))


def test_every_state_fits_the_documented_form(full: RedisLedger) -> None:
    found = listed(full)
    check_status(found)
    assert found["counts"] == {state.value: 1 for state in State}
    assert [visit["state"] for visit in found["visits"]] == sorted(State)
    done = next(visit for visit in found["visits"] if visit["state"] == "done")
    assert done["refs"] == REFS
    assert done["started_at"] == "2023-11-14T22:13:21.250+00:00"


def test_only_some_states_are_listed_and_all_six_counted(full: RedisLedger) -> None:
    found = listed(full, [State.FAILED])
    check_status(found)
    assert [visit["visit"] for visit in found["visits"]] == ["failed"]
    assert sum(found["counts"].values()) == 6


def names(found: Iterable[Any]) -> list[str]:
    return [record.visit.id for record in found]


def test_visits_are_chosen_by_cause_by_name_and_by_state(full: RedisLedger) -> None:
    """What is done has no error, whatever it met before."""
    found = status.found_of(full, "study_1", status.Wanted(causes={"network", "gzip"}))
    assert names(found) == ["waiting"]
    among = [Visit("study_1", name) for name in ("failed", "done", "none")]
    wanted = status.Wanted(among=among)
    assert names(status.found_of(full, "study_1", wanted)) == ["done", "failed"]
    wanted = wanted.only(State.FAILED, State.QUEUED)
    assert names(status.found_of(full, "study_1", wanted)) == ["failed"]
    nothing = wanted.only(State.DONE)
    assert names(status.found_of(full, "study_1", nothing)) == []


def test_what_is_between_two_steps_has_begun(ledger: RedisLedger) -> None:
    fresh, begun = Visit("study_1", "v"), Visit("study_1", "w")
    for visit in (fresh, begun):
        put(ledger, visit)
    advance(ledger, begun, "export_repo")
    line = status.summary(ledger, "study_1")
    assert (line.counts[State.QUEUED], line.between) == (2, 1)
    assert line.lined_up["export_repo"] == 1
    assert line.active == 2


def test_one_visit_is_an_entry_of_the_list(full: RedisLedger) -> None:
    entry = full.get(Visit("study_1", "failed"))
    assert entry is not None
    assert status.visit_json(entry.record) in listed(full)["visits"]


def _without(found: dict[str, Any], *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(found)
    here: Any = changed
    for word in path[:-1]:
        here = here[word]
    del here[path[-1]]
    return changed


def test_the_documented_form_is_strict(full: RedisLedger) -> None:
    found = listed(full)
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


def test_a_project_in_one_line(full: RedisLedger) -> None:
    line = status.summary(full, "study_1")
    assert (line.visits, line.active, line.drained) == (6, 3, False)
    assert (line.tar_bytes, line.read_bytes, line.read_dicoms) == (600, 100, 3)
    found = status.summary_json(line, workers=True)
    assert found["counts"] == {state.value: 1 for state in State}
    assert found["project"] == "study_1"


def test_some_visits_of_a_project_in_one_line(full: RedisLedger) -> None:
    visits = [Visit("study_1", name) for name in ("done", "failed", "queued", "none")]
    line = status.summary_of(full, "study_1", visits)
    counted = {state.value for state, count in line.counts.items() if count}
    assert (line.visits, counted) == (3, {"done", "failed", "queued"})
    assert (line.tar_bytes, line.read_bytes, line.read_dicoms) == (300, 100, 3)
    assert line.lined_up["fetch"] == 1
    # One that cannot be read counts as the indexes say.
    full.client.hset(visit_key(visits[2]), "r", "{")
    assert status.summary_of(full, "study_1", visits).counts[State.QUEUED] == 1
    everything = status.summary_of(full, "study_1", full.visits("study_1"))
    assert everything.counts == status.summary(full, "study_1").counts


def test_what_is_between_two_steps_is_not_queued_for_programs_either(
    ledger: RedisLedger,
) -> None:
    for name in ("v", "w"):
        put(ledger, Visit("study_1", name))
    advance(ledger, Visit("study_1", "v"), "export_repo")

    def counts() -> tuple[int, int]:
        found = json.loads("".join(status.project_lines(ledger, "study_1")))["counts"]
        return found["queued"], found["running"]

    assert counts() == (2, 0)
    ledger.worker_lives("host:1")
    assert counts() == (1, 1)


def test_times_are_utc_with_milliseconds() -> None:
    assert status.iso(None) is None
    assert status.iso(0.0) == "1970-01-01T00:00:00.000+00:00"
    assert status.iso(NOW) == "2023-11-14T22:13:20.250+00:00"


def test_the_seconds_are_those_of_the_steps_without_waits() -> None:
    assert status.worked_seconds(a_record(State.QUEUED)) is None
    assert status.worked_seconds(a_record(State.DONE)) == 2.0 + 5 * 1.0


def test_a_project_without_visits_is_an_empty_list(ledger: RedisLedger) -> None:
    found = listed(ledger)
    check_status(found)
    assert found["visits"] == []


def test_a_row_has_every_column_in_order() -> None:
    row = status.visit_row(a_record(State.FAILED))
    assert tuple(row) == status.CSV_FIELDS
    assert (row["error_kind"], row["error_type"]) == ("permanent", "BadTarball")
    assert (row["seconds"], row["worker"]) == (2.0, "host:7")
    assert status.visit_row(a_record(State.QUEUED))["error_message"] == ""


def test_the_last_worker_is_that_of_the_last_step_that_was_begun() -> None:
    assert status.last_worker(a_record(State.QUEUED)) == ""
    assert status.last_worker(a_record(State.DONE)) == "host:8"
