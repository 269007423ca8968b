"""What others write steers no terminal, and is no formula in a table.

Others are the store on the web, whoever made a tarball or named a file, and whoever may
write to the broker. A real terminal is looked at, for there colours are on.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import Icfqueue
from support.raw_server import RawServer, head
from support.valkey import Valkey

from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import write_tar
from icfqueue.ledger import record
from icfqueue.ledger.record import Record
from icfqueue.ledger.redis_ledger import RedisLedger

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"
"""Sets a title, clears the screen, in C1; turns the direction of writing round."""

OURS = re.compile(rb"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[[0-9]*[AK]|\r\n")
"""Colours, the cursor of a progress bar, and what a terminal makes of an end of line."""


def seen_at_a_terminal(icfqueue: Icfqueue, *words: str, **more: str) -> str:
    """Return what a terminal is sent by the command; nothing in it is to be obeyed."""
    started, ours = icfqueue.at_a_terminal(*words, COLUMNS="200", **more)
    shown = b""
    # EIO is how the last process that had it open is told of.
    with suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    started.wait(60)
    text = OURS.sub(b"", shown).decode()
    left = [sign for sign in text if not sign.isprintable() and sign not in "\n\t\r"]
    assert not left, ascii(text)
    assert "\u202e" not in text
    return text


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "store" / "study_1").mkdir(parents=True)
    return tmp_path / "store"


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


def put(ledger: RedisLedger, found: Record) -> None:
    assert ledger.put_many([(None, found)]) == [True]


def test_nothing_that_a_record_says_reaches_the_terminal_as_it_is(
    project: Path, broker: Valkey
) -> None:
    """Not even if somebody else wrote the record: message, hint, worker, refs."""
    ledger = RedisLedger(broker.client())
    made = record.new(Visit("study_1", "v1"), Options("http://x"), 0, 1e9)
    made = record.claimed(made, "t", f"host{EVIL}[red]:1", 1e9)
    error = {
        "step": "fetch",
        "kind": "permanent",
        "type": "PermanentError",
        "message": f"=HYPERLINK({EVIL})",
        "hint": f"[bold]{EVIL}",
    }
    made = replace(made, error=error, refs={f"refs/{EVIL}": EVIL}, token="")
    put(ledger, made.at(state=record.State.FAILED))
    ledger.client.sadd("icfqueue:projects", f"study_2{EVIL}[blink]")
    icfqueue = Icfqueue(project, {"ICFQUEUE_BROKER_URL": broker.url})
    for words in (
        ("status",),
        ("status", "study_1"),
        ("status", "study_1", "v1"),
        ("status", "study_1", "--format", "json"),
        ("verify", "study_1", "v1"),
        ("run", "study_1", "v1", "--dry-run"),
    ):
        seen_at_a_terminal(icfqueue, *words)
    assert r"\x1b]0;owned" in seen_at_a_terminal(icfqueue, "status", "study_1", "v1")
    assert "[red]" in seen_at_a_terminal(icfqueue, "status", "study_1", "v1")
    table = icfqueue("status", "study_1", "--format", "csv").stdout
    (row,) = csv.DictReader(table.splitlines())
    assert row["error_message"].startswith("'=HYPERLINK(")
    assert table.replace("\n", "").isprintable()


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\r="])
def test_no_cell_of_a_table_is_a_formula(project: Path, broker: Valkey, sign: str) -> None:
    ledger = RedisLedger(broker.client())
    made = record.new(Visit("study_1", "v1"), Options("http://x"), 0, 1e9)
    error = dict.fromkeys(("step", "kind", "type", "message", "hint"), f"{sign}1+1")
    put(ledger, replace(made, error=error))
    icfqueue = Icfqueue(project, {"ICFQUEUE_BROKER_URL": broker.url})
    for words in (("status", "study_1"), ("status",)):
        table = icfqueue("status", *words[1:], "--format", "csv").stdout
        for row in csv.reader(table.splitlines()):
            assert not [one for one in row if one.startswith(tuple("=+-@\t\r"))], row


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Type="text/\x1b]0;owned\x07\x9b2J"),
        head("401 Unauthorized", WWW_Authenticate='Basic realm="\x1b]0;owned\x07\x9b"'),
        head("302 Found", Location="http://\x1b]0;owned\x07/"),
        head(Content_Type="text/html") + b'<a href="%1b]0;owned%07&#155;x_dicom.tar">',
    ],
    ids=["type", "realm", "redirect", "listing"],
)
def test_nothing_that_a_store_says_reaches_the_terminal_as_it_is(
    project: Path, broker: Valkey, answer: bytes
) -> None:
    with RawServer(lambda _: iter([answer])) as web:
        more = {"ICFQUEUE_BROKER_URL": broker.url, "ICFQUEUE_STORE_URL": web.url}
        icfqueue = Icfqueue(project, more)
        seen_at_a_terminal(icfqueue, "enqueue", "study_1", "--remote")
        seen_at_a_terminal(icfqueue, "doctor", "--project", "study_1")


def test_no_member_and_no_file_name_reaches_terminal_or_log_as_it_is(
    project: Path, broker: Valkey, tmp_path: Path
) -> None:
    """A tarball that is refused for a member, and a file that nobody asked for."""
    tarball = project / "study_1" / "v1_dicom.tar"
    write_tar(tarball, [(f"../{EVIL}", b"x")])
    (project / "study_1" / f"{EVIL}_dicom.tar").touch()
    (project / "study_1" / ".icfqueue" / f"old{EVIL}").mkdir(parents=True)
    icfqueue = Icfqueue(project, {"ICFQUEUE_BROKER_URL": broker.url})
    log = tmp_path / "log"
    worker = icfqueue.start("worker", "--concurrency", "1", log=log)
    try:
        seen = seen_at_a_terminal(icfqueue, "enqueue", "study_1")
        assert "left out" in seen
        icfqueue("status", "study_1", "--wait")
        assert icfqueue.visit("v1")["error"]["type"] == "BadTarball"
        seen_at_a_terminal(icfqueue, "status", "study_1", "v1")
        seen_at_a_terminal(icfqueue, "verify", "study_1")
        seen_at_a_terminal(icfqueue, "retry", "study_1")
        seen_at_a_terminal(icfqueue, "run", "study_1", "--jobs", "1")
    finally:
        worker.terminate()
        worker.wait(60)
    words = log.read_bytes()
    assert b"\x1b" not in words
    assert "\u202e" not in words.decode()
