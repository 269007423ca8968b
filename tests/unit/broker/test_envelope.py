"""A message is read strictly, and what Celery sees of it was made by us."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.garbage import garbage, raw
from support.valkey import Valkey

from icfqueue.broker import envelope
from icfqueue.broker.celery_app import make_app
from icfqueue.core import steps

STRANGE = garbage()


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_message_of_ours_is_refused_with_a_reason(name: str) -> None:
    """The reason is one plain line, and short."""
    with pytest.raises(envelope.Unreadable) as found:
        envelope.read(STRANGE[name], "fetch")
    said = str(found.value)
    assert said
    assert said.isprintable()
    assert said.isascii()
    assert len(said) < 200


def test_a_reason_says_where_and_nothing_of_what_was_found() -> None:
    with pytest.raises(envelope.Unreadable, match=r"headers\.eta") as found:
        envelope.read(raw(headers={"eta": "hunter2"}), "fetch")
    assert "hunter2" not in str(found.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(envelope.Unreadable):
        envelope.read(data, "fetch")


@given(st.data())
def test_a_message_with_any_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever is left of it, what Celery sees names a step, a visit and a generation."""
    good = raw()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(max_size=4)) + good[at + 1 :]
    try:
        seen = json.loads(envelope.read(bad, "fetch"))
    except envelope.Unreadable:
        return
    assert seen["headers"]["task"] == "icfqueue.fetch"
    (project, visit, generation), more, _ = json.loads(base64.b64decode(seen["body"]))
    assert (type(project), type(visit), type(generation), more) == (str, str, int, {})


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_what_we_send_is_read_as_it_is_meant(step: steps.Step, valkey: Valkey) -> None:
    app = make_app(valkey.broker)
    app.send_task(
        f"icfqueue.{step.name}",
        args=["study_1", "visit_1", 3],
        task_id=f"study_1/visit_1/{step.name}/3/abc",
        queue=step.queue,
        priority=4,
    )
    app.close()
    with valkey.client() as client:
        sent = client.lindex(f"{step.queue}\x06\x164", 0)
    seen = json.loads(envelope.read(sent.encode(), step.queue))
    args, kwargs, embedded = json.loads(base64.b64decode(seen["body"]))
    assert (args, kwargs) == (["study_1", "visit_1", 3], {})
    assert set(embedded.values()) == {None}
    assert seen["headers"]["id"] == f"study_1/visit_1/{step.name}/3/abc"
    assert seen["properties"]["priority"] == 4
    assert seen["properties"]["delivery_info"]["routing_key"] == step.queue


def test_what_celery_sees_has_nothing_that_a_stranger_chose() -> None:
    """Ids, tags and routes are ours; of headers and properties the rest is left out."""
    strange = raw(
        headers={"id": "of-another-task", "shadow": "evil", "group": "evil", "x": "evil"},
        properties={
            "reply_to": "evil",
            "correlation_id": "evil",
            "delivery_tag": "evil",
            "delivery_info": {"exchange": "evil", "routing_key": "evil"},
        },
    )
    seen = envelope.read(strange, "fetch")
    assert b"evil" not in seen
    found = json.loads(seen)
    assert found["headers"]["id"].startswith("study_1/stranger/fetch/1/")
    assert found["headers"]["id"] == found["properties"]["correlation_id"]


def test_two_messages_never_have_one_tag() -> None:
    seen = [json.loads(envelope.read(raw(), "fetch")) for _ in range(2)]
    tags = {found["properties"]["delivery_tag"] for found in seen}
    assert len(tags) == 2


def test_the_subject_of_a_message_is_its_visit() -> None:
    assert envelope.subject(raw(), "fetch") == "study_1/stranger"
    with pytest.raises(envelope.Unreadable):
        envelope.subject(b"hello", "fetch")
