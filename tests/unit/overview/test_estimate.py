"""How much time is left: told to within a fifth, from a tenth of the way on.

Runs are generated, second by second, and replayed to the estimate as a look at the ledger
would tell them: what finished, what is at work, what waits. Others are recordings of real
ones, replayed look by look to the observer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.recorded_run import RecordedRun

from icfqueue.core.steps import NAMES
from icfqueue.overview import observer
from icfqueue.overview.estimate import DEALT, Estimate, Task
from icfqueue.overview.observer import Observer

RECORDINGS = Path(__file__).parents[2] / "support" / "recordings"

MIB = 1 << 20


@dataclass
class Run:
    """A project as it might be done.

    Attributes
    ----------
    sizes
        Bytes of each tarball.
    processes
        That work on it.
    here
        Whether the tarballs need not be downloaded.
    line
        Bytes a second of a download.
    shared
        Whether all downloads have to share that.
    index, each
        Bytes a second of indexing; seconds that each further step takes.
    pause
        Seconds between two steps of a process.
    """

    sizes: list[int]
    processes: int = 2
    here: bool = False
    line: float = 20 * MIB
    shared: bool = False
    index: float = 250 * MIB
    each: float = 0.1
    pause: float = 0.02


@dataclass
class Visit:
    """A visit under way: the step it stands at, and what is left of that."""

    size: int
    step: int
    begun: float | None = None
    moved: float = 0.0


def replay(run: Run, dt: float) -> Iterator[tuple[float, float | None]]:
    """Yield, every now and then, the time and what is told to be left, in seconds."""
    dice = random.Random(7)
    line = [Visit(size, int(run.here)) for size in run.sizes]
    free_from = [0.0] * run.processes
    at_work: list[Visit] = []
    estimate = Estimate(run.processes)
    for size in run.sizes if run.here else ():
        estimate.learn_size(size)
    now, steps = 0.0, 0
    while line or at_work:
        now, steps = now + dt, steps + 1
        for place, moment in enumerate(free_from):
            if line and moment <= now:
                free_from[place] = float("inf")
                at_work.append(begin(line.pop(0), now, estimate))
        fetching = sum(visit.step == 0 for visit in at_work)
        for visit in list(at_work):
            if not moves_on(run, visit, now, dt * dice.uniform(0.7, 1.3), fetching):
                continue
            name, seconds = NAMES[visit.step], now - (visit.begun or 0.0)
            estimate.learn(name, visit.size, seconds)
            at_work.remove(visit)
            free_from[free_from.index(float("inf"))] = now + run.pause
            visit.step, visit.begun = visit.step + 1, None
            if visit.step < len(NAMES):
                line.insert(0, visit)
        estimate.sample(len(at_work), lined_up=bool(line))
        if steps % 25 == 0 or not (line or at_work):
            running = [task(run, visit, now) for visit in at_work]
            yield now, estimate.left(running, [task(run, visit, now) for visit in line])


def begin(visit: Visit, now: float, estimate: Estimate) -> Visit:
    visit.begun, visit.moved = now, 0.0
    if visit.step == 0:
        estimate.learn_size(visit.size)
    return visit


def moves_on(run: Run, visit: Visit, now: float, dt: float, fetching: int) -> bool:
    """Let a visit be worked on for `dt` seconds; tell whether its step is done."""
    name = NAMES[visit.step]
    seconds = now - (visit.begun or 0.0)
    if name not in {"fetch", "index_tar"}:
        return seconds >= run.each or name == "update_catalog"
    line = run.line / fetching if run.shared and fetching else run.line
    visit.moved += dt * (line if name == "fetch" else run.index)
    return visit.moved >= visit.size and seconds >= 0.02


def task(run: Run, visit: Visit, now: float) -> Task:
    known = visit.step > 0 or visit.begun is not None or run.here
    return Task(
        NAMES[visit.step],
        visit.size if known else None,
        here=run.here,
        moved=int(min(visit.size, visit.moved)) if visit.begun is not None else 0,
        seconds=None if visit.begun is None else now - visit.begun,
    )


def alike(count: int, size: int, spread: float = 0.05) -> list[int]:
    dice = random.Random(1)
    return [int(size * dice.uniform(1 - spread, 1 + spread)) for _ in range(count)]


def mixed(count: int, size: int) -> list[int]:
    """Sizes over two orders of magnitude, as functional beside structural visits."""
    dice = random.Random(3)
    return [int(size * dice.lognormvariate(0, 1)) for _ in range(count)]


RUNS = {
    "downloads of a size": Run(alike(60, 200 * MIB)),
    "downloads of two kinds": Run(
        [size for _ in range(150) for size in (60 * MIB, 400 * MIB)]
    ),
    "downloads that share a line": Run(alike(80, 200 * MIB), shared=True, processes=4),
    "downloads as fast as indexing": Run(alike(100, 500 * MIB), line=200 * MIB),
    "here, mixed sizes": Run(mixed(200, 200 * MIB), here=True),
    "here, mixed sizes, many processes": Run(
        mixed(400, 200 * MIB), here=True, processes=16
    ),
    "here, small": Run(alike(400, MIB), here=True, each=0.2, pause=0.1),
    "here, a large one last": Run([*alike(30, 100 * MIB), 6000 * MIB], here=True),
    "few large downloads": Run(alike(9, 4000 * MIB), processes=3, line=30 * MIB),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_is_left_is_told_to_within_a_fifth_from_a_tenth_of_the_way_on(
    name: str,
) -> None:
    run = RUNS[name]
    total = sum(run.sizes) * (1 / run.index + (0 if run.here else 1 / run.line))
    dt = max(0.01, total / run.processes / 3000)
    looks = list(replay(run, dt))
    end = looks[-1][0]
    told = {}
    for tenth in range(1, 10):
        now, left = next(look for look in looks if look[0] >= end * tenth / 10)
        told[tenth / 10] = None if left is None else round(left / (end - now), 2)
    assert all(found and 0.8 <= found <= 1.2 for found in told.values()), told


def test_a_tarball_that_is_downloaded_passes_twice_each_time_with_its_own_weight() -> None:
    estimate = Estimate(1)
    for _ in range(20):
        estimate.learn("fetch", 100 * MIB, 9.0)
        estimate.learn("index_tar", 100 * MIB, 1.0)
    download = Task("fetch", 100 * MIB, moved=50 * MIB, seconds=4.5)
    assert estimate.share_done(download) == pytest.approx(0.45, abs=0.02)
    assert estimate.share_done(Task("index_tar", 100 * MIB)) == pytest.approx(0.9, abs=0.02)
    assert estimate.share_done(Task("write_json", 100 * MIB)) == 1.0
    # One that was here passes once.
    here = Task("index_tar", 100 * MIB, here=True, moved=50 * MIB, seconds=0.5)
    assert estimate.share_done(here) == 0.5


def test_nothing_is_told_before_anything_was_measured() -> None:
    estimate = Estimate(2)
    waiting = [Task("fetch")]
    assert estimate.left([], waiting) is None
    begun = Task("fetch", 100 * MIB, moved=10 * MIB, seconds=1.0)
    # Of the other one nothing is known: it is taken to be like those that were begun.
    assert estimate.left([begun], waiting) is None
    estimate.learn_size(100 * MIB)
    assert estimate.left([begun], waiting) == pytest.approx(10.0, rel=0.3)
    assert estimate.left([], []) == 0.0


def test_of_many_visits_no_single_one_is_looked_at() -> None:
    estimate = Estimate(2)
    for _ in range(100):
        estimate.learn("index_tar", 100 * MIB, 1.0)
    some = [Task("index_tar", 100 * MIB, here=True)] * 100
    few = estimate.left([], some)
    many = estimate.left([], some, 100 * DEALT)
    assert few is not None
    assert many == pytest.approx(few * DEALT, rel=0.05)


def test_the_time_that_is_left_takes_the_wait_for_another_try_into_account() -> None:
    """Meanwhile a process does something else, or nothing."""
    estimate = Estimate(1)
    for _ in range(20):
        estimate.learn("fetch", 100 * MIB, 10.0)
    one = Task("fetch", 100 * MIB, wait=60.0)
    alone = estimate.left([], [one])
    assert alone == pytest.approx(70.0, rel=0.05)
    others = [Task("fetch", 100 * MIB)] * 3
    assert estimate.left([], [one, *others]) == pytest.approx(alone)
    assert estimate.left([], [one, *others * 3]) == pytest.approx(100.0, rel=0.1)
    # Of many no single one matters, but the last is not done before it is begun.
    many = estimate.left([], [replace(one, wait=5e5), *others], 10 * DEALT)
    assert many == pytest.approx(5e5, rel=0.05)


def test_a_download_that_goes_on_has_the_rest_to_move() -> None:
    estimate = Estimate(1)
    for _ in range(20):
        estimate.learn("fetch", 100 * MIB, 10.0)
    rest = Task("fetch", 100 * MIB, moved=5 * MIB, to_move=25 * MIB, seconds=0.5)
    assert estimate.share_done(rest) == pytest.approx(0.8, abs=0.03)
    assert estimate.left([rest], []) == pytest.approx(2.0, abs=0.8)


def test_for_the_last_of_unknown_size_processes_are_waited_for() -> None:
    """Were all of mean size, two processes would end together."""
    estimate = Estimate(2)
    for size in (10, 190) * 10:
        estimate.learn("fetch", size * MIB, size / 10)
        estimate.learn_size(size * MIB)
    left = estimate.left([], [Task("fetch"), Task("fetch")])
    assert left is not None
    assert left == pytest.approx(0.25 * 1 + 0.75 * 19, rel=0.2)


@pytest.mark.parametrize("listed", [False, True], ids=["unknown", "listed"])
@pytest.mark.parametrize("name", ["two_kinds", "many_sizes", "whole_visits"])
def test_of_recorded_runs_too_what_is_left_is_told_to_within_a_fifth(
    name: str, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloads from a throttled nginx, whose listing told their sizes or did not.

    ``two_kinds``: 48 visits, each a sixteenth of a structural or functional one, drawn by
    lot; ``many_sizes``: 24 visits, their sizes drawn from a log-normal distribution;
    ``whole_visits``: 11 structural and 5 functional ones.
    """
    run = RecordedRun(RECORDINGS / f"{name}.jsonl")
    monkeypatch.setattr(observer, "time", SimpleNamespace(monotonic=run.now))
    sizes = run.sizes if listed else {}
    watcher = Observer(run, "study_1", 2, sizes)  # type: ignore[arg-type]  # it plays it
    looks = [(now, watcher.look().left) for now in run.play()]
    told = {}
    for tenth in range(1, 10):
        now, left = next(look for look in looks if look[0] >= run.end * tenth / 10)
        told[tenth / 10] = None if left is None else round(left / (run.end - now), 2)
    assert all(found and 0.8 <= found <= 1.2 for found in told.values()), told


@pytest.mark.parametrize("name", ["two_kinds", "many_sizes"])
def test_of_recorded_runs_the_bytes_are_steady_once_all_sizes_are_known(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordedRun(RECORDINGS / f"{name}.jsonl")
    monkeypatch.setattr(observer, "time", SimpleNamespace(monotonic=run.now))
    watcher = Observer(run, "study_1", 2)  # type: ignore[arg-type]  # it plays the ledger
    pictures = [watcher.look() for _ in run.play()]
    known = {one.total for one in pictures if one.total and not one.estimated}
    assert known == {float(run.totals("study_1")["tar_bytes"])}
    # Before, some were not, and that was said.
    assert sum(one.estimated for one in pictures) > len(pictures) / 2
    assert pictures[-1].done == pictures[-1].total
