"""Failures by cause as they are printed: few lines, and commands that can be pasted."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console
from support.records import a_record, failed_with, troubled_project

from icfqueue.cli.display.causes import print_causes, waits
from icfqueue.cli.display.terminal import show
from icfqueue.core.causes import CAUSES
from icfqueue.core.errors import BadTarball
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.overview.failures import CauseGroup, by_cause


def printed(
    groups: list[CauseGroup],
    width: int = 80,
    *,
    terminal: bool = True,
    again: str = "",
    names: Sequence[str] = (),
) -> list[str]:
    where = io.StringIO()
    console = Console(file=where, width=width, force_terminal=terminal, color_system=None)
    print_causes(console, groups, "study_1", names=names, again=again)
    return [line.rstrip() for line in where.getvalue().splitlines()]


@pytest.mark.parametrize("terminal", [True, False])
def test_508_failures_of_three_causes_are_less_than_25_lines(
    ledger: RedisLedger, *, terminal: bool
) -> None:
    ledger.put_many([(None, each) for each in troubled_project()])
    groups = by_cause(ledger, "study_1")
    run = "icfqueue run study_1 --store-dir /data/icf"
    for width in (60, 80, 120):
        lines = printed(groups, width, terminal=True, again=run)
        assert sum(-(-len(line) // width) or 1 for line in lines) <= 25
    lines = printed(groups, terminal=terminal)
    assert len(lines) < 25
    said = "\n".join(lines)
    assert " 445 \u00d7 cut, e.g. sub-0001: obtain the tarball again" in said
    assert "then: icfqueue retry study_1 --cause cut" in said
    assert "now: icfqueue retry study_1 --cause network" in said
    assert lines[-1] == "  list: icfqueue status study_1 --cause cut    # or network, gzip"


def group(cause: str, count: int = 2) -> CauseGroup:
    visits = [f"v{number}" for number in range(count)]
    remedy = CAUSES[cause].remedy if cause in CAUSES else "see the message"
    return CauseGroup(cause, count, "v0", "found this", "do that", remedy, visits, False)


def test_the_number_of_lines_does_not_grow_with_that_of_causes() -> None:
    few, many = (printed([group(c) for c in list(CAUSES)[:n]]) for n in (20, 30))
    assert len(few) == len(many) < 35
    assert "… and 8 causes more" in "\n".join(few)


def test_one_visit_is_no_example() -> None:
    assert printed([group("cut", 1)])[0] == "  1 \u00d7 cut, v0: obtain the tarball again"


def test_what_a_retry_cannot_help_is_not_to_be_retried() -> None:
    assert not [line for line in printed([group("foreign")]) if "retry" in line]


def test_the_command_for_all_stands_in_place_of_that_for_one() -> None:
    one = replace(group("cut"), hint="get it again, then 'icfqueue retry study_1 v0'")
    lines = printed([one])
    assert lines[2:4] == [
        "      get it again",
        "      then: icfqueue retry study_1 --cause cut",
    ]


def test_where_nobody_works_the_command_lets_somebody_work() -> None:
    lines = printed([group("cut")], again="icfqueue run study_1", names=["v*"])
    (line,) = [line for line in lines if "retry" in line]
    assert "icfqueue retry study_1 'v*' --cause cut && icfqueue run study_1" in line
    assert lines[-1] == "  list: icfqueue status study_1 'v*' --cause cut"


def test_a_remedy_is_told_once_for_each_cause() -> None:
    """The longer one if one begins with the other; of the example only what is its own."""
    cut = replace(group("cut"), hint="obtain the tarball again and compare")
    unpack = replace(group("gzip"), hint="unpack it: mv a b")
    tool = replace(group("tool"), hint="'icfqueue doctor' checks git")
    said = [printed([one])[:4] for one in (cut, unpack, tool, group("network"))]
    assert [lines[0].partition(": ")[2] for lines in said] == [
        "obtain the tarball again and compare",
        "unpack it to a plain tar",
        "`icfqueue doctor`",
        "check network",
    ]
    assert said[0][2] == "      then: icfqueue retry study_1 --cause cut"
    assert said[1][2] == "      mv a b"
    assert said[2][2] == "      then: icfqueue retry study_1 --cause tool"


def test_a_long_message_is_there_to_its_end_and_stays_a_line_for_programs(
    ledger: RedisLedger,
) -> None:
    error = BadTarball("x\n" * 200 + "END", cause="cut")
    ledger.put_many([(None, failed_with(Visit("study_1", "v"), error))])
    groups = by_cause(ledger, "study_1")
    assert any(line.endswith("END") for line in printed(groups))
    assert "      " + "x " * 200 + "END" in printed(groups, terminal=False)


def test_a_cause_that_somebody_else_wrote_does_no_harm() -> None:
    """Neither to the terminal nor to a shell into which the command is pasted."""
    lines = printed([group("x; rm \x1b[2J")])
    assert "\x1b" not in "".join(lines)
    words = shlex.split(lines[-1].partition("list: ")[2])
    assert words[:4] == ["icfqueue", "status", "study_1", "--cause"]
    assert len(words) == 5


def test_nothing_is_printed_for_nothing(ledger: RedisLedger) -> None:
    ledger.put_many([(None, a_record(State.DONE))])
    assert printed(by_cause(ledger, "study_1")) == []


def test_visits_that_wait_are_told_by_cause_with_the_time_of_the_next_try(
    ledger: RedisLedger,
) -> None:
    ledger.put_many([(None, a_record(State.WAITING))])
    groups = by_cause(ledger, "study_1", [State.WAITING])
    now = (groups[0].due or 0.0) - 75.0
    where = io.StringIO()
    show(Console(file=where, width=80), *waits(groups, now))
    assert where.getvalue().splitlines() == [
        "  1 \u00d7 network, e.g. waiting: tried again in 1 min 15 s",
        "      reset",
    ]
