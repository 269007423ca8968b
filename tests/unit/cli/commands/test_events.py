"""``icfqueue events``: all that is kept, and what comes."""

from __future__ import annotations

import json

import click
import pytest
from support.command_line import Commands
from support.ledger import claim, put

from icfqueue.cli.commands import events
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit

A, B = Visit("study_1", "a"), Visit("study_2", "b")


def test_all_that_is_kept_is_told_with_its_project(icfqueue: Commands) -> None:
    put(icfqueue.ledger, A)
    put(icfqueue.ledger, B)
    lines = icfqueue("events").out.splitlines()
    assert [line.split()[3] for line in lines] == ["study_1/a", "study_2/b"]
    (line,) = icfqueue("events", "--project", "study_2", "--format", "json").out.split(
        "\n"
    )[:1]
    assert json.loads(line)["visit"] == "b"


def test_following_tells_what_comes_and_ends_with_ctrl_c(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(icfqueue.ledger, A)
    steps = [
        lambda: put(icfqueue.ledger, B),
        lambda: claim(icfqueue.ledger, A),
        lambda: None,
    ]
    said: list[str] = []
    monkeypatch.setattr(events, "tell", lambda event, *_, **__: said.append(event.kind))

    def sleep(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(events.time, "sleep", sleep)
    with pytest.raises(click.Abort):
        icfqueue("events", "--follow", "--project", "study_1")
    assert said[-1] == "step.began"
    assert "visit.enqueued" not in said[1:]


def test_a_project_that_was_never_enqueued_is_wrong_usage(icfqueue: Commands) -> None:
    put(icfqueue.ledger, A)
    with pytest.raises(UsageError, match="nothing of project study_3") as caught:
        icfqueue("events", "--project", "study_3")
    assert "did you mean study_1?" in caught.value.hint


def test_one_that_is_followed_may_come_but_is_said_not_to_be_there(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(icfqueue.ledger, A)

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events.time, "sleep", sleep)
    said: list[str] = []
    monkeypatch.setattr(events.click, "secho", lambda words, **_: said.append(words))
    for project in ("study_1", "study_3"):
        with pytest.raises(click.Abort):
            icfqueue("events", "--follow", "--project", project)
    assert said == ["nothing of project study_3 was ever enqueued; waiting for it"]


def test_a_project_of_which_nothing_is_kept_is_said_so(icfqueue: Commands) -> None:
    put(icfqueue.ledger, A)
    icfqueue.ledger.events.forget([A])
    done = icfqueue("events", "--project", "study_1")
    assert (done.code, done.out) == (0, "")
    assert "No event of study_1 is kept (any more); `icfqueue status study_1 --" in done.err


def test_messages_are_sent_only_while_following(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="go with --follow"):
        icfqueue("events", "--notify", "http://127.0.0.1:9/")
