"""Whether a tarball is still the recorded one: what vouches, what is read, what differs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from support.guards import CountingGuard
from support.reading import counted_opens

from icfqueue.core.visit import Visit
from icfqueue.outputs.completeness import Recorded
from icfqueue.outputs.freshness import Change, change_here, change_in_store, is_vouched
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint

V = Visit("study_1", "v")
CONTENT = b"tarball" * 1000
RECORDED = Recorded(len(CONTENT), hashlib.md5(CONTENT).hexdigest())
LATER, EARLIER = 2**62, 1
"""Times (nanoseconds since 1970) of files that are newer and older than any tarball."""


@pytest.fixture
def tarball(store: Store) -> Path:
    path = store.path(V, V.tarball)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def now(tarball: Path) -> Fingerprint:
    found = Fingerprint.of(tarball.stat())
    assert found is not None
    return found


def put(store: Store, name: str, when: int) -> Path:
    path = store.path(V, name)
    path.touch()
    os.utime(path, ns=(when, when))
    return path


@pytest.mark.parametrize("name", [V.metadata_tarball, V.refs])
def test_a_file_that_is_newer_than_the_last_change_of_the_tarball_vouches_for_it(
    store: Store, tarball: Path, name: str
) -> None:
    """That of its metadata, or where these were removed the deposit's refs."""
    assert not is_vouched(store, V, now(tarball))
    put(store, name, LATER)
    assert is_vouched(store, V, now(tarball))
    put(store, name, EARLIER)
    assert not is_vouched(store, V, now(tarball))


@pytest.mark.parametrize("name", [V.metadata_dicoms, V.repo_export, "v2_XDLRA--refs"])
def test_no_other_file_vouches(store: Store, tarball: Path, name: str) -> None:
    put(store, name, LATER)
    assert not is_vouched(store, V, now(tarball))


def test_where_the_metadata_are_older_the_refs_do_not_help(
    store: Store, tarball: Path
) -> None:
    """They were made from the metadata, and say no more than these."""
    put(store, V.metadata_tarball, EARLIER)
    put(store, V.refs, LATER)
    assert not is_vouched(store, V, now(tarball))


def test_a_tarball_whose_age_was_set_back_is_not_vouched_for(
    store: Store, tarball: Path
) -> None:
    """As ``cp -p`` and ``touch -d`` do: the time of the change itself cannot be set."""
    note = put(store, V.metadata_tarball, now(tarball).ctime_ns - 1)
    os.utime(tarball, ns=(EARLIER, EARLIER))
    assert now(tarball).mtime_ns < note.stat().st_mtime_ns
    assert not is_vouched(store, V, now(tarball))


def test_a_change_at_the_very_moment_counts_as_one_after_it(
    store: Store, tarball: Path
) -> None:
    put(store, V.metadata_tarball, now(tarball).ctime_ns)
    assert not is_vouched(store, V, now(tarball))


def test_a_tarball_that_is_vouched_for_is_not_read(store: Store, tarball: Path) -> None:
    put(store, V.metadata_tarball, LATER)
    guard = CountingGuard()
    with counted_opens() as opens:
        assert change_here(store, V, now(tarball), RECORDED, guard) is None
    assert (guard.calls, guard.bytes) == (0, 0)
    assert opens[V.tarball] == 0


def test_a_tarball_that_was_touched_is_read_once_and_compared(
    store: Store, tarball: Path
) -> None:
    put(store, V.metadata_tarball, EARLIER)
    guard = CountingGuard()
    with counted_opens() as opens:
        assert change_here(store, V, now(tarball), RECORDED, guard) is None
    assert guard.bytes == len(CONTENT)
    assert opens[V.tarball] == 1


def test_other_bytes_of_the_same_size_are_a_change_of_the_md5(
    store: Store, tarball: Path
) -> None:
    tarball.write_bytes(CONTENT[::-1])
    md5 = hashlib.md5(CONTENT[::-1]).hexdigest()
    found = change_here(store, V, now(tarball), RECORDED)
    assert found == Change("MD5", md5, RECORDED.md5)


@pytest.mark.parametrize("when", [LATER, EARLIER])
def test_another_size_is_a_change_that_needs_no_reading_whoever_vouches(
    store: Store, tarball: Path, when: int
) -> None:
    tarball.write_bytes(CONTENT + b"x")
    put(store, V.metadata_tarball, when)
    guard = CountingGuard()
    with counted_opens() as opens:
        found = change_here(store, V, now(tarball), RECORDED, guard)
    assert found == Change("size", len(CONTENT) + 1, len(CONTENT))
    assert (guard.calls, opens[V.tarball]) == (0, 0)


def test_a_tarball_that_went_meanwhile_is_an_error_of_the_system(
    store: Store, tarball: Path
) -> None:
    before = now(tarball)
    tarball.unlink()
    with pytest.raises(FileNotFoundError):
        change_here(store, V, before, RECORDED)


SIZE, MD5 = RECORDED.size, RECORDED.md5


@pytest.mark.parametrize(
    ("size", "published", "expected"),
    [
        (SIZE, MD5, None),
        (SIZE, None, None),
        (None, MD5, None),
        # What the store does not say is no change.
        (None, None, None),
        (SIZE + 1, MD5, Change("size", SIZE + 1, SIZE)),
        (0, None, Change("size", 0, SIZE)),
        (SIZE, "f" * 32, Change("MD5", "f" * 32, MD5)),
        (None, "f" * 32, Change("MD5", "f" * 32, MD5)),
        # The size is told first: it is surer.
        (SIZE + 1, "f" * 32, Change("size", SIZE + 1, SIZE)),
    ],
)
def test_the_stores_tarball_is_compared_by_what_the_store_says(
    size: int | None, published: str | None, expected: Change | None
) -> None:
    assert change_in_store(size, published, RECORDED) == expected
