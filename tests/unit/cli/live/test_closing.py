"""What stands at the end of a run: nothing of what is not there, and commands to paste."""

from __future__ import annotations

import msgspec
import pytest

from icfqueue.cli.live.closing import Run, access_lines, amount_line, clone_command
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary
from icfqueue.store.directory import Store

V = Visit("study_1", "visit_01")


def a_run(done: int, seconds: float = 10.0, example: Visit | None = V) -> Run:
    counts = dict.fromkeys(State, 0)
    before = ProjectSummary("study_1", counts | {State.QUEUED: 4}, 0, 0, 0)
    after = ProjectSummary("study_1", counts | {State.DONE: done}, 5000, 5000, 30)
    return Run(before, after, seconds, example)


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (0, 10.0, ""),
        (1, 10.0, "1 visit, 30 DICOMs, 5.0 kB in 10 s (500 bytes/s)"),
        (4, 0.5, "4 visits, 30 DICOMs, 5.0 kB in 0.5 s"),
    ],
)
def test_it_says_how_much_was_done(done: int, seconds: float, words: str) -> None:
    assert amount_line(a_run(done, seconds)) == words


def test_it_says_where_the_catalog_is_and_how_to_clone_it(store: Store) -> None:
    settings = Settings(store_dir=store.root)
    assert list(access_lines(store, settings, a_run(0, example=None))) == []
    # Without a dataset of all visits one visit can be cloned.
    (only,) = access_lines(store, settings, a_run(1))
    assert only == "to clone a visit: icfqueue clone study_1 visit_01"
    folder = store.project_dir("study_1")
    page = store.catalog_dir("study_1") / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    (folder / "XDLRA--refs").touch()
    assert list(access_lines(store, settings, a_run(1))) == [
        f"catalog: {page}",
        "on the web: https://data.inm-icf.de/study_1/catalog/",
        "to look at it: icfqueue serve",
        "to clone it: icfqueue clone study_1",
    ]


def test_the_command_to_clone_names_what_is_not_the_default_quoted() -> None:
    chosen = msgspec.structs.replace(
        Settings(), store_url="https://x.org/a(b)", credential="my icf"
    )
    assert clone_command(chosen, "study_1") == (
        "icfqueue clone study_1 --store-url 'https://x.org/a(b)' --credential 'my icf'"
    )
