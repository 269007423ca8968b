"""What a shell is told: from the store directory and the broker, in time, or nothing.

With real shells: ``tests/unit/cli/commands/test_completion.py``.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import click
import pytest
from support.command_line import Commands
from support.records import a_record

from icfqueue.cli.group import cli
from icfqueue.cli.shell import completers
from icfqueue.core.causes import CAUSES
from icfqueue.ledger.record import State

Complete = Callable[..., list[str]]


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A project with records, another with a tarball, as nobody enqueued it yet."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    icfqueue.build(2, project="study_2")
    return icfqueue


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no broker that does not answer."""
    monkeypatch.setenv("ICFQUEUE_COMPLETION_PATIENCE", "10")


def completed(command: str, what: str, incomplete: str, **params: Any) -> list[str]:
    """Return what is offered for the word `incomplete` of an argument."""
    context = click.Context(cli)
    found = cli.get_command(context, command)
    assert found is not None
    inner = click.Context(found, parent=context)
    inner.params = params
    (param,) = [one for one in found.params if one.name == what]
    return [item.value for item in param.shell_complete(inner, incomplete)]


def test_projects_are_those_recorded_and_those_here(icfqueue: Commands) -> None:
    where = dict(zip(("store_dir", "broker"), icfqueue.where[1:4:2], strict=True))
    assert completed("run", "project", "", **where) == ["study_1", "study_2"]
    assert completed("retry", "project", "study_2", **where) == ["study_2"]
    assert completed("catalog", "project", "x", **where) == []


def test_visits_are_those_of_the_project_but_for_those_given(icfqueue: Commands) -> None:
    where = dict(zip(("store_dir", "broker"), icfqueue.where[1:4:2], strict=True))
    given = {**where, "project": "study_1/"}
    assert completed("run", "visits", "", **given) == sorted(State)
    assert completed("forget", "visits", "", **given, visits=("done",)) == (
        sorted({*State} - {State.DONE})
    )
    assert completed("run", "visits", "v", **where, project="study_2") == (
        ["visit_01", "visit_02"]
    )
    assert completed("run", "visits", "", **where, project="../x") == []


def test_causes_have_their_meaning_beside_them() -> None:
    assert completed("retry", "causes", "no-d") == ["no-dicom"]
    items = completers.complete_causes(click.Context(cli), cli.params[0], "")
    assert [(item.value, item.help) for item in items] == [
        (code, cause.meaning) for code, cause in CAUSES.items()
    ]


@pytest.fixture
def silent() -> Any:
    """A server that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_broker_that_does_not_answer_is_not_waited_for(
    icfqueue: Commands, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its reply is waited for for four seconds; the store directory is known."""
    monkeypatch.delenv("ICFQUEUE_COMPLETION_PATIENCE")
    began = time.monotonic()
    where = {"store_dir": icfqueue.store.root, "broker": silent}
    assert completed("run", "project", "", **where) == ["study_2"]
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("broker", [None, "redis://127.0.0.1:9/0", "nonsense"])
def test_without_a_broker_none_is_started_and_nothing_is_said(
    icfqueue: Commands, broker: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    where = {"store_dir": icfqueue.store.root, "broker": broker}
    assert completed("run", "project", "", **where) == ["study_2"]
    assert not (icfqueue.store.root / ".icfqueue" / "broker").exists()
    assert completed("run", "project", "", store_dir="/no/such", broker=broker) == []
    assert capfd.readouterr() == ("", "")


def test_what_is_no_id_is_not_offered(icfqueue: Commands) -> None:
    """A shell reads one item a line, and others may write to the broker."""
    icfqueue.ledger.client.sadd("icfqueue:projects", "x\nplain,y", "$(reboot)")
    where = dict(zip(("store_dir", "broker"), icfqueue.where[1:4:2], strict=True))
    assert completed("run", "project", "", **where) == ["study_1", "study_2"]
