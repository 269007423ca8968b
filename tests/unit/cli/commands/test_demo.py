"""``icfqueue demo``: what it asks for, and how its stage shows things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from support.command_line import Commands

from icfqueue.demo import tour


@pytest.fixture
def toured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the tour was asked for; it shows three lines and ends with 7."""
    found: list[tuple[Any, ...]] = []

    def show(folder: Path, visits: int, jobs: int, stage: tour.Stage) -> int:
        found.append((folder, visits, jobs))
        stage.headline("1. A project")
        stage.command("icfqueue run")
        stage.line("the same", good=True)
        return 7

    monkeypatch.setattr(tour, "tour", show)
    return found


def test_a_small_project_in_a_folder_here_is_the_default(
    icfqueue: Commands, toured: list[tuple[Any, ...]]
) -> None:
    done = icfqueue.plain("demo")
    assert toured == [(Path("demo-store"), 4, 2)]
    assert (done.code, done.out) == (7, "\n1. A project\n   $ icfqueue run\n   the same\n")


def test_folder_and_numbers_can_be_chosen(
    icfqueue: Commands, toured: list[tuple[Any, ...]]
) -> None:
    icfqueue.plain("demo", "--folder", "/data/x", "--visits", "50", "--jobs", "1")
    assert toured == [(Path("/data/x"), 50, 1)]


@pytest.mark.parametrize("words", [("--visits", "0"), ("--visits", "51"), ("--jobs", "0")])
def test_what_makes_no_sense_is_wrong_usage(
    icfqueue: Commands, toured: list[tuple[Any, ...]], words: tuple[str, str]
) -> None:
    with pytest.raises(click.BadParameter):
        icfqueue.plain("demo", *words)
    assert toured == []
