"""The text of a record: what older releases read, what newer ones wrote, what is none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from icfqueue.core.errors import UnreadableRecord
from icfqueue.core.options import Identifiers, Options, Outcome
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import PENDING, Record, State
from icfqueue.ledger.stored import record_json
from icfqueue.ledger.stored.record_json import SCHEMA

V = Visit("p", "v")
LOOK = (17, 10_240, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002)
KNOWN_TO_ALL = {
    *("visit", "options", "steps", "priority", "generation", "queued_at", "started_at"),
    *("finished_at", "due", "began", "token", "tar_bytes", "tar_md5", "dicoms", "refs"),
    "error",
}
"""Fields that the release before layouts were numbered reads; it dies of any other."""


def made(**changes: Any) -> Record:
    found = record.claimed(record.new(V, Options("https://x"), 2, 1.0), "t", "h:1", 2.0)
    outcome = Outcome(worked=True, tar_bytes=9, tar_md5="a", dicoms=3, fingerprint=LOOK)
    return replace(record.finished(found, outcome, 3.0), **changes)


def read(text: str, more: str | None = None, version: str = "7") -> Record:
    return Record.from_json(text, V, more, version)


def changed(path: list[Any], value: Any) -> str:
    """Return the text of a record with another value at `path`."""
    fields = json.loads(made().to_json())
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(fields)


def test_what_is_new_is_in_a_part_that_older_releases_do_not_read() -> None:
    fields = json.loads(made().to_json())
    assert set(fields) <= KNOWN_TO_ALL
    new = {"superdataset", "stream"}
    assert set(fields["options"]) == set(Options.__dataclass_fields__) - new
    assert {len(step) for step in fields["steps"]} == {6}
    assert json.loads(made().more_json("7")) == {
        "schema": SCHEMA,
        "v": "7",
        "fingerprint": list(LOOK),
    }


def test_both_parts_give_the_record_again() -> None:
    assert read(made().to_json(), made().more_json("7")) == made()


def test_a_record_of_which_nothing_more_is_known_has_no_second_part() -> None:
    assert made(fingerprint=None).more_json("7") == ""


def test_an_option_that_older_releases_do_not_know_is_in_the_second_part() -> None:
    """And means what it does without it once one of them wrote: a project has all."""
    options = Options("https://x", superdataset=False)
    without = made(options=options, fingerprint=None)
    assert "superdataset" not in without.to_json()
    assert json.loads(without.more_json("7")) == {
        "schema": SCHEMA,
        "v": "7",
        "superdataset": False,
    }
    assert read(without.to_json(), without.more_json("7")).options == options
    assert read(without.to_json(), without.more_json("7"), "8").options.superdataset
    assert read(made().to_json(), made().more_json("7")).options.superdataset


def test_that_a_tarball_is_streamed_is_in_the_second_part() -> None:
    """Once an older worker wrote, it is not known: that one knows files alone."""
    streamed = made(
        options=Options("https://x", stream=True), fingerprint=None, streamed=True
    )
    assert "stream" not in streamed.to_json()
    assert json.loads(streamed.more_json("7")) == {
        "schema": SCHEMA,
        "v": "7",
        "streamed": True,
        "stream": True,
    }
    assert read(streamed.to_json(), streamed.more_json("7")) == streamed
    older = read(streamed.to_json(), streamed.more_json("7"), version="8")
    assert (older.streamed, older.options.stream) == (False, False)


def test_once_an_older_worker_wrote_the_second_part_says_nothing() -> None:
    """It knows nothing of it: the tarball may have been read anew."""
    found = read(made().to_json(), made().more_json("7"), version="8")
    assert found == made(fingerprint=None)


def test_begun_anew_the_tarball_is_known_by_look_and_md5_or_not_at_all() -> None:
    """The two belong together: what was read looked so."""
    again = record.enqueued(made(), Options("https://x"), 0, 9.0)
    assert (again.fingerprint, again.tar_md5) == (LOOK, made().tar_md5)
    again = record.enqueued(made(fingerprint=None), Options("https://x"), 0, 9.0)
    assert (again.fingerprint, again.tar_md5) == (None, None)
    assert record.resumed(made(), 9.0).fingerprint == LOOK


def test_what_a_step_does_not_tell_of_the_tarball_stays() -> None:
    later = record.claimed(made(), "t", "h:1", 4.0)
    assert record.finished(later, Outcome(worked=True), 5.0).fingerprint == LOOK


def with_strange_fields() -> tuple[str, str]:
    fields = json.loads(made().to_json())
    fields["colour"] = {"of": ["hair"]}
    fields["options"]["compress"] = 9
    fields["steps"][0].append("a note")
    more = {**json.loads(made().more_json("7")), "checked": True}
    return json.dumps(fields), json.dumps(more)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: record.claimed(r, "t2", "h:2", 4.0),
        lambda r: record.cancelled(r, 4.0),
        lambda r: record.resumed(record.cancelled(r, 4.0), 5.0),
        lambda r: record.finished(
            record.claimed(r, "t", "h", 4.0), Outcome(worked=True), 5.0
        ),
    ],
    ids=["claim", "cancel", "retry", "finish"],
)
def test_fields_of_a_newer_release_are_kept_and_written_back(change: Any) -> None:
    found = change(read(*with_strange_fields()))
    fields, more = json.loads(found.to_json()), json.loads(found.more_json("8"))
    assert fields["colour"] == {"of": ["hair"]}
    assert fields["options"]["compress"] == 9
    assert fields["steps"][0][6:] == ["a note"]
    assert (more["checked"], more["v"]) == (True, "8")
    assert Record.from_json(found.to_json(), V, found.more_json("8"), "8") == found


def test_a_newer_layout_of_a_record_is_refused_with_what_helps() -> None:
    more = json.dumps({"schema": SCHEMA + 1, "v": "7"})
    with pytest.raises(UnreadableRecord, match="a newer icfqueue wrote it") as caught:
        read(made().to_json(), more)
    assert "update icfqueue" in caught.value.hint
    # An older worker has made it its own since then.
    assert read(made().to_json(), more, version="8").visit == V


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "got `array`"),
        ("{}", "missing required field `visit`"),
        (changed(["visit"], "p/w"), "names the visit 'p/w'"),
        (changed(["visit"], 7), "Expected `str`"),
        (changed(["options"], {}), "missing required field `store_url`"),
        (changed(["options"], [1]), "got `array`"),
        (changed(["steps"], []), "has 0 steps; 6 are known"),
        (changed(["steps", 0, 0], "asleep"), "a step that is 'asleep'"),
        (changed(["steps", 1, 0], PENDING), "none of its steps is under way"),
        (changed(["steps", 0], ["done"]), "length 6"),
        (changed(["steps", 0, 1], -1), ">= 0"),
        *(
            (changed(["steps", 0, 4], seconds), "at `$.steps[0][4]`")
            for seconds in (float("nan"), float("inf"), -1e300, 1e300)
        ),
        (changed(["priority"], 5), "<= 4"),
        (changed(["generation"], "1"), "Expected `int`"),
        (changed(["queued_at"], 1e300), "at `$.queued_at`"),
        (changed(["queued_at"], float("nan")), "at `$.queued_at`"),
        (changed(["refs"], ["a"]), "got `array`"),
        (changed(["error"], {"message": 5}), "Expected `str`"),
    ],
)
def test_what_is_no_record_of_the_visit_is_told_from_one(text: str, why: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        read(text)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "more",
    [
        "x",
        "[]",
        '{"schema": "2", "v": "7"}',
        '{"schema": 2, "v": "7", "fingerprint": 1}',
    ],
)
def test_a_second_part_that_is_none_makes_the_record_unreadable(more: str) -> None:
    with pytest.raises(UnreadableRecord, match="second part"):
        read(made().to_json(), more)


def test_an_error_without_some_of_its_words_has_empty_ones() -> None:
    found = read(changed(["error"], {"message": "x\udc80"}))
    assert found.error == {
        "step": "",
        "kind": "",
        "type": "",
        "cause": "unknown",
        "message": "x\udc80",
        "hint": "",
    }


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("NotInStore", "not-in-store"),
        ("DiskTrouble", "disk"),
        ("BadTarball", "unknown"),
        ("PermanentError", "unknown"),
        ("Path", "unknown"),
        ("nothing", "unknown"),
    ],
)
def test_an_error_of_an_older_release_has_the_cause_of_its_class_if_it_has_one(
    kind: str, cause: str
) -> None:
    found = read(changed(["error"], {"message": "m", "type": kind}))
    assert found.error is not None
    assert found.error["cause"] == cause


def test_steps_and_states_are_those_of_the_record() -> None:
    assert {PENDING, *State} == record_json._STATES
    with pytest.raises(UnreadableRecord, match=f"has 7 steps; {len(NAMES)} are known"):
        read(changed(["steps"], [["done", 0, 0, 0, None, None]] * 7))


def test_the_fields_are_those_of_the_record() -> None:
    later = {"fingerprint", "identifiers", "streamed", "unknown"}
    ours = set(Record.__dataclass_fields__) - later
    assert set(record_json.Known.__struct_fields__) == ours == KNOWN_TO_ALL


@pytest.mark.parametrize(
    "change",
    [
        {"tar_bytes": 2**62},
        {"tar_bytes": -1},
        {"priority": 5},
        {"due": float("nan")},
        {"refs": {"a": b"b"}},
        {"error": {"message": None}},
    ],
    ids=str,
)
def test_a_record_that_nobody_could_read_is_not_made(change: dict[str, Any]) -> None:
    """Else it would be there until a person has it forgotten."""
    with pytest.raises(ValueError, match="nobody could read"):
        made(**change).to_json()


def test_nor_is_a_second_part() -> None:
    with pytest.raises(ValueError, match="nobody could read"):
        made(fingerprint=(1, 2**62, 3, 4)).more_json("7")


def test_a_size_that_no_record_holds_is_not_known() -> None:
    """A sparse file may be as large."""
    assert made().with_size(2**62 - 1).tar_bytes == 2**62 - 1
    found = made().with_size(2**62)
    assert found.tar_bytes is None
    assert read(found.to_json()) == replace(found, fingerprint=None)


FOUND = Identifiers(3, 1, ("name", "birth-date"), "ada", 5.0)


def test_identifiers_are_in_the_part_that_older_releases_do_not_read() -> None:
    found = made(identifiers=FOUND)
    assert json.loads(found.to_json()) == json.loads(made().to_json())
    again = read(found.to_json(), found.more_json("7"))
    assert again.identifiers == FOUND
    assert again.identifiers is not None
    assert again.identifiers.accepted_by == "ada"
    assert again.identifiers.accepted_at == 5.0
    # After a worker that does not know them nothing is known.
    assert read(found.to_json(), found.more_json("7"), version="8").identifiers is None


def test_identifiers_stay_with_the_tarball_that_they_were_found_in() -> None:
    found = made(identifiers=FOUND)
    again = record.enqueued(found, Options("https://x"), 0, 9.0)
    assert again.identifiers == FOUND
    forced = record.enqueued(found, Options("https://x", force=True), 0, 9.0)
    assert forced.identifiers is None
    other = record.enqueued(replace(found, fingerprint=None), Options("https://x"), 0, 9.0)
    assert other.identifiers is None
