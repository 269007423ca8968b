"""``icfqueue verify``: what is told of each visit, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import pytest
from support.command_line import Commands

from icfqueue.core.errors import UsageError
from icfqueue.operations.verify import Verification

DIFFERENCE = {"where": "dataset", "what": "missing", "hint": "make it"}


def line(visit: str, *, good: bool = True, unreachable: bool = False) -> dict[str, Any]:
    return {
        "visit": visit,
        "good": good,
        "state": "done",
        "unreachable": unreachable,
        "proof": "2 DICOMs promised" if good else "",
        "differences": [] if good else [DIFFERENCE],
    }


@dataclass
class Looked:
    """Stands in for the look at visits.

    Attributes
    ----------
    lines
        What is found.
    asked
        Project, images to get, and visits of each look.
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, int | None, tuple[str, ...]]] = field(default_factory=list)

    def examine(self, made: Verification, named: Sequence[str]) -> Iterator[dict[str, Any]]:
        self.asked.append((made.project, made.sample, tuple(named)))
        for one in self.lines:
            made.lines.append(one)
            yield one


@pytest.fixture(autouse=True)
def folder(icfqueue: Commands) -> None:
    icfqueue.store.project_dir("study_1").mkdir()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    stand_in = Looked()

    def examine(made: Verification, named: Sequence[str]) -> Iterator[dict[str, Any]]:
        return stand_in.examine(made, named)

    monkeypatch.setattr(Verification, "examine", examine)
    return stand_in


def test_what_is_good_and_what_is_not_is_told_with_remedies(
    icfqueue: Commands, looked: Looked
) -> None:
    looked.lines += [line("v1"), line("v2", good=False)]
    done = icfqueue("verify", "study_1")
    assert done.code == 1
    assert done.out.splitlines() == [
        "v1: 2 DICOMs promised",
        "v2: not as it should be",
        "  dataset: missing",
        "    make it",
        "study_1: 1 of 2 visits as they should be",
    ]
    assert looked.asked == [("study_1", 1, ())]


def test_json_is_the_whole_report_and_nothing_else(
    icfqueue: Commands, looked: Looked
) -> None:
    looked.lines += [line("v1")]
    done = icfqueue("verify", "study_1", "v1", "--format", "json", "--sample", "5")
    assert done.code == 0
    assert json.loads(done.out) == {
        "project": "study_1",
        "good": True,
        "unreachable": False,
        "visits": looked.lines,
        "orphans": [],
    }
    assert looked.asked == [("study_1", 5, ("v1",))]


def test_a_store_that_cannot_be_reached_ends_it_with_3(
    icfqueue: Commands, looked: Looked
) -> None:
    looked.lines += [line("v1", good=False, unreachable=True), line("v2", good=False)]
    assert icfqueue("verify", "study_1").code == 3


def test_what_could_not_be_asked_is_not_known_and_counted_apart(
    icfqueue: Commands, looked: Looked
) -> None:
    silent = {**DIFFERENCE, "where": "store", "what": "away", "unreachable": True}
    unknown = {**line("v1", good=False, unreachable=True), "differences": [silent]}
    worse = {**unknown, "visit": "v2", "differences": [silent, DIFFERENCE]}
    looked.lines += [unknown, worse, line("v3")]
    done = icfqueue("verify", "study_1")
    assert done.code == 3
    lines = done.out.splitlines()
    assert lines[0] == "v1: not known"
    assert "v2: not as it should be" in lines
    assert lines[-2:] == [
        "study_1: 1 of 3 visits as they should be",
        "1 visit: the store could not be asked",
    ]


def test_audit_only_gets_nothing(icfqueue: Commands, looked: Looked) -> None:
    looked.lines += [line("v1")]
    assert icfqueue("verify", "study_1", "--audit-only", "--sample", "7").code == 0
    assert looked.asked == [("study_1", None, ())]


def test_a_visit_without_a_record_and_without_a_proof_has_a_word(
    icfqueue: Commands, looked: Looked
) -> None:
    looked.lines += [{**line("v1"), "state": None, "proof": ""}]
    assert icfqueue("verify", "study_1").out.startswith("v1: no record\n")


def test_what_makes_no_sense_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="nothing of study_1"):
        icfqueue("verify", "study_1", "--audit-only")
    with pytest.raises(click.BadParameter):
        icfqueue("verify", "study_1", "--sample", "-1")
