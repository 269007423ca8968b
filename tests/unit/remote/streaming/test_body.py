"""A file as it comes from the store, over connections that break in every way."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.faulty_store import FaultyStore

from icfqueue.core.errors import (
    AccessDenied,
    Cancelled,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StoreBusy,
    TarballTouched,
)
from icfqueue.remote.client import RemoteStore
from icfqueue.remote.download import RemoteFile
from icfqueue.remote.streaming import body
from icfqueue.remote.streaming.body import Body

PATH = "p/v_dicom.tar"
CONTENT = random.Random(2).randbytes(1_000_000)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    (tmp_path / "web" / "p").mkdir(parents=True)
    (tmp_path / "web" / PATH).write_bytes(CONTENT)
    with FaultyStore(tmp_path / "web", auth=False) as made:
        yield made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses take no time."""
    monkeypatch.setattr(body, "PAUSES", (0.0, 0.0, 0.0, 0.0))


def store(web: FaultyStore, **given: Any) -> RemoteStore:
    return RemoteStore(web.url, **{"read_timeout": 5.0, "least_rate": 0.0, **given})


def received(web: FaultyStore, **given: Any) -> bytes:
    with store(web, **given) as remote, Body(remote, PATH, lambda: None) as made:
        return b"".join(iter(lambda: made.read(1 << 20), b""))


def ranges(web: FaultyStore) -> list[str | None]:
    return [headers.get("Range") for *_, headers in web.seen]


def test_a_file_comes_in_one_go_and_says_what_it_is(web: FaultyStore) -> None:
    with store(web) as remote, Body(remote, PATH, lambda: None) as made:
        assert made.file.size == len(CONTENT)
        assert made.file.etag
        assert len(made.read(10)) <= 10
    assert received(web) == CONTENT
    assert ranges(web) == [None, None]


@pytest.mark.parametrize("every", [10_000, 100_000, 999_999])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_broken_connections_cost_no_byte_however_many(
    web: FaultyStore, kind: Any, every: int
) -> None:
    """Each byte is sent once: each request begins where the last one ended."""
    web.fail(kind, after=every, times=None)
    assert received(web) == CONTENT
    starts = [int((found or "bytes=0-")[6:-1]) for found in ranges(web)]
    assert starts == sorted(set(starts))
    assert all("If-Range" in headers for *_, headers in web.seen[1:])
    if kind == "cut":
        assert starts == list(range(0, len(CONTENT), every))


def test_a_store_that_stalls_is_asked_anew(web: FaultyStore) -> None:
    web.fail("stall", after=300_000)
    assert received(web, read_timeout=0.5) == CONTENT
    assert ranges(web) == [None, "bytes=300000-"]


def test_a_store_that_is_busy_or_in_trouble_in_the_middle_is_waited_for(
    web: FaultyStore,
) -> None:
    web.fail("cut", after=300_000)
    web.fail("status", status=503, headers={"Retry-After": "1"})
    web.fail("status", status=500)
    assert received(web) == CONTENT
    assert web.count(status=503) == web.count(status=500) == 1


def test_a_store_that_asks_for_a_long_pause_gets_it(web: FaultyStore) -> None:
    """The worker is let go, and told for how long."""
    web.fail("cut", after=300_000)
    web.fail("status", status=503, headers={"Retry-After": "600"})
    with pytest.raises(StoreBusy) as caught:
        received(web)
    assert caught.value.retry_after == 600


def test_connections_that_bring_nothing_are_not_made_for_ever(web: FaultyStore) -> None:
    web.fail("cut", after=300_000)
    web.fail("cut", after=0, times=None)
    with pytest.raises(NetworkTrouble, match="ended 700000 bytes before"):
        received(web)
    assert len(web.seen) == 1 + len(body.PAUSES)


def test_progress_in_between_gives_all_tries_back(web: FaultyStore) -> None:
    for _ in range(3):
        web.fail("cut", after=200_000)
        web.fail("cut", after=0, times=3)
    assert received(web) == CONTENT


def test_a_store_that_breaks_off_over_and_over_is_held_to_the_least_rate(
    web: FaultyStore,
) -> None:
    """Ten bytes a connection are no progress: else it kept a worker for ever."""
    web.fail("cut", after=10, times=None)
    with pytest.raises(NetworkTrouble, match="before the length"):
        received(web, least_rate=1e9)
    assert len(web.seen) <= 1 + len(body.PAUSES)


def test_a_connection_that_is_too_slow_is_not_made_again(web: FaultyStore) -> None:
    web.fail("slow", rate=100_000)
    with pytest.raises(NetworkTrouble, match="fewer than") as caught:
        received(web, read_timeout=0.3, least_rate=1e6)
    assert caught.value.slow
    assert len(web.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (404, NotInStore), (400, PermanentError)],
)
def test_a_refusal_in_the_middle_is_final(
    web: FaultyStore, status: int, kind: type[Exception]
) -> None:
    web.fail("cut", after=300_000)
    web.fail("status", status=status)
    with pytest.raises(kind):
        received(web)
    assert len(web.seen) == 2


@pytest.mark.parametrize("kind", ["no_range", "range_not_satisfiable"])
def test_without_ranges_the_file_is_begun_again_by_who_reads_it(
    web: FaultyStore, kind: Any
) -> None:
    """Not here: what was read of it counts no more."""
    web.fail("cut", after=300_000)
    web.fail(kind, times=None)
    with pytest.raises(NetworkTrouble, match="broke off after 300000 bytes") as caught:
        received(web)
    assert "--no-stream" in caught.value.hint


def test_without_a_validator_nothing_is_asked_for_in_part(web: FaultyStore) -> None:
    """It could be another file's."""
    web.fail("cut", after=300_000)
    with store(web) as remote, Body(remote, PATH, lambda: None) as made:
        made.file = RemoteFile(made.file.size)
        while made.have < 300_000:
            made.read(1 << 20)
        with pytest.raises(NetworkTrouble, match="ended 700000 bytes before"):
            made.read(1 << 20)
    assert ranges(web) == [None]


@pytest.mark.parametrize("ignores", [False, True])
@pytest.mark.parametrize("other", [CONTENT[::-1], CONTENT[:-1]])
def test_a_file_that_was_replaced_in_the_middle_is_noticed(
    web: FaultyStore, other: bytes, ignores: bool
) -> None:
    """By its ETag, also where the server does not know If-Range."""
    web.fail("cut", after=300_000)
    if ignores:
        web.fail("no_if_range")
    with store(web) as remote, Body(remote, PATH, lambda: None) as made:
        while made.have < 300_000:
            made.read(1 << 20)
        (web.root / PATH).write_bytes(other)
        os.utime(web.root / PATH, (1, 1))
        with pytest.raises(TarballTouched, match="was replaced"):
            made.read(1 << 20)


def test_what_is_not_begun_is_the_trouble_of_who_asks(web: FaultyStore) -> None:
    web.fail("cut", after=0)
    with pytest.raises(NetworkTrouble):
        received(web)
    web.clear()
    web.fail("status", status=503, headers={"Retry-After": "1"})
    with pytest.raises(StoreBusy):
        received(web)
    assert len(web.seen) == 2


def test_the_reading_can_be_called_off_also_in_a_pause(
    web: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "PAUSES", (1000.0,))
    web.fail("cut", after=300_000)
    called_off = False

    def check() -> None:
        if called_off:
            raise Cancelled("by a person")

    with store(web) as remote, Body(remote, PATH, check) as made:
        while made.have < 300_000:
            made.read(1 << 20)
        called_off = True
        with pytest.raises(Cancelled):
            made.read(1 << 20)
