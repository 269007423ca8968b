"""Whether a file's next change is sure to show, by the file system's own clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from icfqueue.store import settling
from icfqueue.store.settling import is_settled


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The file that is to be read, and the probe."""
    opened = [os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in ("x", "probe")]
    yield opened[0], opened[1]
    for file in opened:
        os.close(file)


def test_a_file_that_was_changed_just_now_settles_within_a_tick(
    files: tuple[int, int],
) -> None:
    file, probe = files
    os.write(file, b"x")
    assert is_settled(file, probe)
    before = os.fstat(file).st_ctime_ns
    os.utime(file)
    assert os.fstat(file).st_ctime_ns > before


def pretend(patch: pytest.MonkeyPatch, fstat: Callable[[int], object]) -> None:
    """Have the file system say something else, to :mod:`settling` alone."""
    patch.setattr(settling, "os", SimpleNamespace(fstat=fstat, utime=os.utime))


def test_a_file_from_the_future_never_settles(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server's clock was set back: a change may get any time."""
    file, probe = files

    def ahead(descriptor: int) -> object:
        found = os.fstat(descriptor)
        hour = 3600 * 10**9 if descriptor == file else 0
        return SimpleNamespace(st_dev=found.st_dev, st_ctime_ns=found.st_ctime_ns + hour)

    pretend(monkeypatch, ahead)
    assert not is_settled(file, probe)


def test_where_times_are_whole_seconds_the_same_second_does_not_settle(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, probe = files

    def coarse(descriptor: int) -> object:
        found = os.fstat(descriptor)
        return SimpleNamespace(st_dev=found.st_dev, st_ctime_ns=now)

    now = 7 * 10**9
    pretend(monkeypatch, coarse)
    assert not is_settled(file, probe)


@pytest.mark.parametrize(("age", "settled"), [(0, False), (3600, False), (90_000, True)])
def test_of_another_file_systems_clock_only_days_are_believed(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, age: int, settled: bool
) -> None:
    file, probe = files

    def elsewhere(descriptor: int) -> object:
        found = os.fstat(descriptor)
        other = descriptor == file
        when = found.st_ctime_ns - (age * 10**9 if other else 0)
        return SimpleNamespace(st_dev=found.st_dev + other, st_ctime_ns=when)

    pretend(monkeypatch, elsewhere)
    assert is_settled(file, probe) is settled
