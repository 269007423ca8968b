"""``icfqueue workers``: who lives and what each does."""

from __future__ import annotations

import json
import shlex

import pytest
from msgspec import structs
from support.command_line import Commands
from support.ledger import put

from icfqueue.cli.commands import workers
from icfqueue.core.visit import Visit
from icfqueue.ledger.roster import JobSign, Sign


@pytest.fixture
def busy(icfqueue: Commands) -> Commands:
    """A worker that indexes a visit, and one that has nothing to do."""
    now = icfqueue.ledger.now()
    job = JobSign(
        project="study_1", visit="v\x1b1", step="index_tar", since=now - 5, bytes=2_500_000
    )
    busy = Sign(
        name="node-1.example.org:12345",
        host="node-1.example.org",
        pid=12345,
        since=now - 7260,
        processes=2,
        queues=("index",),
        disk_free=5_000_000_000,
        jobs=(job,),
    )
    icfqueue.ledger.roster.say(busy)
    idle = structs.replace(busy, name="node-2:7", host="node-2", pid=7, jobs=())
    icfqueue.ledger.roster.say(idle)
    return icfqueue


def test_each_worker_has_a_line_for_each_thing_that_it_does(busy: Commands) -> None:
    said = busy("workers").out
    assert r"study_1/v\x1b1 index_tar" in said
    assert "2 h 1 min" in said
    assert "2.5 MB" in said
    assert "5.0 GB" in said
    assert said.splitlines()[-1] == "2 workers on 2 hosts; 1 of 4 processes busy"


@pytest.mark.parametrize(("width", "more"), [(60, False), (80, False), (300, True)])
def test_a_name_is_whole_however_narrow_the_terminal(
    busy: Commands, monkeypatch: pytest.MonkeyPatch, width: int, more: bool
) -> None:
    monkeypatch.setattr("icfqueue.cli.rows.width_of_terminal", lambda _: width)
    lines = busy("workers").out.splitlines()
    assert any("node-1.example.org:12345" in line for line in lines)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert ("queues" in lines[0]) == more


def test_programs_get_all_of_it(busy: Commands) -> None:
    found = json.loads(busy("workers", "--format", "json").out)
    assert [sign["name"] for sign in found] == ["node-1.example.org:12345", "node-2:7"]
    assert found[0]["jobs"][0]["step"] == "index_tar"
    assert found[0]["seen"].endswith("+00:00")


def test_where_nobody_works_it_says_what_to_do(icfqueue: Commands) -> None:
    where = shlex.join(icfqueue.where)
    worker = f"No worker is running: start `icfqueue worker {where}`"
    assert icfqueue("workers").out == f"{worker}.\n"
    put(icfqueue.ledger, Visit("study_1", "v"))
    assert icfqueue("workers").out == f"{worker}, or use `icfqueue run study_1 {where}`.\n"
    root = str(icfqueue.store.root)
    assert icfqueue.plain("workers", "--store-dir", root).out == (
        f"No worker is running: start `icfqueue worker --store-dir {root}`.\n"
    )
    assert icfqueue("workers", "--format", "json").out == "[]\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (90000, "1 d 1 h")],
)
def test_times_have_two_units_at_most(seconds: float, words: str) -> None:
    assert workers._span(seconds) == words
