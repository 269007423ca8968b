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
from support.records import a_record, troubled_project

from icfqueue.cli.group import cli
from icfqueue.cli.shell import completers
from icfqueue.core.causes import CAUSES
from icfqueue.ledger.record import State
from icfqueue.store import inventory
from icfqueue.store.directory import Store

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


def test_a_folder_without_tarballs_and_outputs_is_no_project(icfqueue: Commands) -> None:
    root = icfqueue.store.root
    for name, file in {"notes": "a.txt", "empty": "", "made": "v_XDLRA--refs"}.items():
        (root / name).mkdir()
        if file:
            (root / name / file).touch()
    where = dict(zip(("store_dir", "broker"), icfqueue.where[1:4:2], strict=True))
    found = completed("run", "project", "", **where)
    assert found == ["made", "study_1", "study_2"]


def test_causes_that_the_project_has_come_first(icfqueue: Commands) -> None:
    """Those of visits that failed or wait; then all others, in the order of the table."""
    where = dict(zip(("store_dir", "broker"), icfqueue.where[1:4:2], strict=True))
    put = troubled_project("study_3", done=3, failed=20)
    icfqueue.ledger.put_many([(None, one) for one in put])
    found = completed("retry", "causes", "", **where, project="study_3")
    met = {"cut", "gzip", "network"}
    assert set(found[:3]) == met
    assert found[3:] == [code for code in CAUSES if code not in met]
    assert completed("retry", "causes", "", **where) == [*CAUSES]


def test_clone_completes_a_project_then_a_visit_then_a_folder(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no option for the store directory: the settings have it."""
    monkeypatch.setenv("ICFQUEUE_STORE_DIR", str(icfqueue.store.root))
    assert completed("clone", "project", "study") == ["study_2"]
    assert completed("clone", "rest", "", project="study_2") == ["visit_01", "visit_02"]
    assert completed("clone", "rest", "./x", project="study_2") == ["./x"]
    assert completed("clone", "rest", "v", project="study_2", rest=("visit_01",)) == ["v"]


def test_what_came_in_time_is_kept_where_the_time_is_up(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICFQUEUE_COMPLETION_PATIENCE", "2")

    def slow(_: Store, name: str) -> bool:
        if name > "study_2":
            time.sleep(120)
        return True

    (icfqueue.store.root / "study_3").mkdir()
    monkeypatch.setattr(inventory, "is_project", slow)
    assert completed("run", "project", "", store_dir=icfqueue.store.root) == ["study_2"]


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
