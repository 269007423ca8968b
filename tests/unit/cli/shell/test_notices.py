"""``--notify`` and ``--exec``: messages while a command goes on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from support.command_line import Commands
from support.records import NOW, a_record

from icfqueue.core.errors import BadTarball, UsageError
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.retry_policy import Fail
from icfqueue.monitoring.notify import Notifier


def test_waiting_for_a_project_sends_its_end_to_a_program(
    icfqueue: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left when the command ends is sent before it ends."""
    icfqueue.ledger.put_many([(None, a_record(State.QUEUED))])
    monkeypatch.chdir(tmp_path)
    pause = time.sleep

    def sleep(seconds: float) -> None:
        pause(min(seconds, 0.01))
        # Threads sleep, too.
        if threading.current_thread() is threading.main_thread():
            visit = a_record(State.QUEUED).visit
            icfqueue.ledger.update(visit, lambda found: record.cancelled(found, NOW))

    monkeypatch.setattr("icfqueue.cli.commands.status.time.sleep", sleep)
    done = icfqueue("status", "study_1", "--wait", "--exec", "sh -c 'cat >> got'")
    assert done.code == 0
    (message,) = [json.loads(line) for line in (tmp_path / "got").read_text().splitlines()]
    assert (message["event"], message["project"]) == ("project.drained", "study_1")


def test_the_setting_sends_them_too_and_goes_to_no_program(
    icfqueue: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever command waits; one that does not is none the worse for it."""
    got: list[tuple[str, str]] = []

    def posted(self: Notifier, text: str) -> str:
        got.append((self._url, json.loads(text)["event"]))
        return ""

    monkeypatch.setattr(Notifier, "_posted", posted)
    monkeypatch.setenv("ICFQUEUE_NOTIFY", "https://hooks.example.org/geheim")
    icfqueue.ledger.put_many([(None, a_record(State.QUEUED))])
    assert icfqueue("status", "study_1").code == 0
    assert got == []

    def sleep(_: float) -> None:
        visit = a_record(State.QUEUED).visit
        icfqueue.ledger.update(visit, lambda found: record.cancelled(found, NOW))

    monkeypatch.setattr("icfqueue.cli.commands.status._wait", lambda *_: sleep(0))
    command = f"sh -c 'cat > /dev/null; env > {tmp_path}/env'"
    assert icfqueue("status", "study_1", "--wait", "--exec", command).code == 0
    assert got == [("https://hooks.example.org/geheim", "project.drained")]
    assert "geheim" not in (tmp_path / "env").read_text()


def test_they_go_with_waiting(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="go with --wait"):
        icfqueue("status", "--exec", "true")


def test_who_gets_a_message_is_told_the_command_with_the_store_in_whole(
    icfqueue: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is in another folder."""
    icfqueue.ledger.put_many([(None, a_record(State.QUEUED))])
    monkeypatch.chdir(icfqueue.store.root.parent)
    visit = a_record(State.QUEUED).visit

    def fail(_: float) -> None:
        error = BadTarball("cut")
        icfqueue.ledger.update(
            visit, lambda found: record.failed(found, error, Fail(), NOW)
        )

    real = time.sleep
    monkeypatch.setattr(
        "icfqueue.cli.commands.status.time.sleep",
        lambda seconds: (
            fail(seconds)
            if threading.current_thread() is threading.main_thread()
            else real(seconds)
        ),
    )
    where = ["--store-dir", icfqueue.store.root.name, *icfqueue.where[2:]]
    words = ["status", "study_1", "--wait", "--exec", f"sh -c 'cat >> {tmp_path}/got'"]
    icfqueue.plain(*words, *where)
    found = [json.loads(line) for line in (tmp_path / "got").read_text().splitlines()]
    see = [one["see"] for one in found if one["event"] == "visit.failed"]
    assert len(see) == 1
    assert f"--state failed --store-dir {icfqueue.store.root} --broker " in see[0]
