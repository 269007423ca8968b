"""What stands at the end of a run: nothing of what is not there, and commands to paste."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from icfqueue.cli.live import closing
from icfqueue.cli.live.closing import (
    Run,
    Worked,
    access_lines,
    amount_line,
    clone_command,
    web_command,
)
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.operations.status import ProjectSummary
from icfqueue.store.directory import Store

V = Visit("study_1", "visit_01")
NOTHING = dict.fromkeys(State, 0)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(closing, "time", made)
    return made


def summary(**counts: int) -> ProjectSummary:
    lined_up = {"fetch": counts.get("queued", 0), "index_tar": counts.pop("between", 0)}
    counted = NOTHING | {State(name): count for name, count in counts.items()}
    return ProjectSummary("study_1", counted, 5000, 5000, 30, lined_up)


BEFORE = ProjectSummary("study_1", NOTHING | {State.QUEUED: 4}, 0, 0, 0)


@pytest.mark.parametrize(
    ("done", "at_work", "waited", "words"),
    [
        (0, 10.0, 0.0, ""),
        (1, 10.0, 0.0, "1 visit, 30 DICOMs, 5.0 kB in 10 s (500 bytes/s)"),
        (4, 0.5, 0.0, "4 visits, 30 DICOMs, 5.0 kB in 0.5 s"),
        (1, 10.0, 50.0, "… 5.0 kB in 1 min 00 s (500 bytes/s in the 10 s at work)"),
    ],
)
def test_it_says_how_much_was_done_and_how_fast_while_anything_was_at_work(
    clock: Clock, done: int, at_work: float, waited: float, words: str
) -> None:
    worked = Worked()
    clock.now += waited / 2
    worked.look(summary(waiting=4))
    clock.now += at_work / 2
    worked.look(summary(running=1))
    clock.now += at_work / 2
    # Between two steps it is under way, too.
    worked.look(summary(between=1))
    clock.now += waited / 2
    worked.look(summary(waiting=1, queued=1))
    worked.end()
    clock.now += 1000.0
    found = amount_line(Run(BEFORE, summary(done=done), worked))
    assert found.endswith(words.removeprefix("…"))
    assert bool(found) == bool(words)


def test_what_a_run_before_has_read_is_not_said_to_be_read_by_this_one(
    clock: Clock,
) -> None:
    """Only the last steps were left."""
    worked = Worked()
    before = summary(queued=1)
    clock.now += 1.7
    worked.end()
    assert amount_line(Run(before, summary(done=1), worked)) == "1 visit in 1.7 s"


def test_it_says_where_the_catalog_is_and_how_to_clone_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where it is: nothing goes to the web for what is here."""
    settings = Settings(store_dir=store.root)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert list(access_lines(store, settings, [])) == []
    # Without a dataset of all visits one visit can be cloned.
    folder = store.project_dir("study_1")
    (only,) = access_lines(store, settings, [V])
    assert only == f"to clone a visit: icfqueue clone {folder}/visit_01"
    page = store.catalog_dir("study_1") / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    (folder / "XDLRA--refs").touch()
    assert list(access_lines(store, settings, [V])) == [
        f"catalog: {page}",
        "on the web: https://data.inm-icf.de/study_1/catalog/",
        "to look at it: icfqueue serve",
        f"to clone it: icfqueue clone {folder}",
    ]
    chosen = msgspec.structs.replace(settings, store_url="https://x.org")
    assert list(access_lines(store, chosen, [V]))[-2:] == [
        f"to clone it: icfqueue clone {folder}",
        "from the web: icfqueue clone study_1 --store-url https://x.org",
    ]


def test_a_clone_goes_neither_into_the_store_nor_over_what_is_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    store.project_dir("study_1").mkdir(exist_ok=True)
    (tmp_path / "elsewhere" / "study_1").mkdir(parents=True)
    expected = f"icfqueue clone {store.project_dir('study_1')} {tmp_path}/home/study_1"
    for here in (store.root, store.project_dir("study_1"), tmp_path / "elsewhere"):
        monkeypatch.chdir(here)
        assert clone_command(store, "study_1") == expected


def test_the_command_to_clone_from_the_web_names_what_is_not_the_default_quoted() -> None:
    chosen = msgspec.structs.replace(
        Settings(), store_url="https://x.org/a(b)", credential="my icf"
    )
    assert web_command(chosen, "study_1", V) == (
        "icfqueue clone study_1 visit_01 --store-url 'https://x.org/a(b)' "
        "--credential 'my icf'"
    )
