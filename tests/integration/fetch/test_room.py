"""Step ``fetch`` asks for room before it downloads, and for no more than it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from msgspec import structs
from support.faulty_store import FaultyStore
from support.fetch import (
    CONTENT,
    TAR_PATH,
    VISIT,
    assert_fetched,
    leftovers,
    parts_of,
)

from icfqueue.core.errors import NetworkTrouble, NoRoom
from icfqueue.core.guard import Answer, Guard
from icfqueue.remote import partial_download
from icfqueue.steps import fetch
from icfqueue.steps.job import Job


@dataclass
class RoomGuard(Guard):
    """Remembers what was asked for, and may say that others were promised room."""

    answers: list[Answer] = field(default_factory=list)
    rooms: list[tuple[int, bool]] = field(default_factory=list)
    look: Callable[[], None] | None = None

    def promise_room(self, size: int, free: Callable[[], int]) -> Answer:
        if self.look:
            self.look()
        self.rooms.append((size, free() > 0))
        return self.answers.pop(0) if self.answers else Answer(True, 0)


@pytest.fixture
def cut(web: FaultyStore, job: Job) -> Job:
    """A job whose first try broke off after two megabytes."""
    web.fail("cut", path=TAR_PATH, after=2_000_000)
    with pytest.raises(NetworkTrouble):
        fetch.run(job)
    return job


def test_room_is_checked_before_the_download(job: Job) -> None:
    greedy = structs.replace(job.settings, keep_free=1 << 60)
    with pytest.raises(NoRoom, match=r"no room for .*: 3\.0 MB to come") as e:
        fetch.run(replace(job, settings=greedy))
    assert e.value.size == len(CONTENT)
    assert leftovers(job) == []


def test_what_is_here_needs_no_more_room(cut: Job) -> None:
    """Of a part that is kept only the rest must fit, and it stays until that does."""
    (left,) = parts_of(cut)
    here = left.stat().st_size
    guard = RoomGuard(answers=[Answer(False, 7)])
    with pytest.raises(NoRoom, match="and 7 bytes are promised to other downloads"):
        fetch.run(replace(cut, guard=guard))
    assert parts_of(cut)[0].stat().st_size == here
    assert partial_download.kept(cut.store.work_dir(VISIT)) == here
    fetch.check_fits(cut.store, cut.settings, VISIT, len(CONTENT))
    fetch.run(replace(cut, guard=guard))
    assert guard.rooms == [(len(CONTENT) - here, True)] * 2
    assert_fetched(cut)


def test_a_part_that_is_of_no_use_makes_room_before_it_is_asked_for(
    web: FaultyStore, cut: Job
) -> None:
    def look() -> None:
        assert [path.stat().st_size for path in parts_of(cut)] == [0]

    web.fail("no_range", path=TAR_PATH)
    guard = RoomGuard(look=look)
    fetch.run(replace(cut, guard=guard))
    assert guard.rooms == [(len(CONTENT), True)]
    assert_fetched(cut)


def test_what_cannot_fit_is_known_without_asking(job: Job) -> None:
    room = fetch.free_room(job.store, job.settings)
    with pytest.raises(NoRoom) as caught:
        fetch.check_fits(job.store, job.settings, VISIT, room + (1 << 40))
    assert caught.value.size == room + (1 << 40)
