"""Whether a tarball is still the recorded one: known, read and compared, different."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.guards import CountingGuard, MeddlingGuard
from support.reading import counted_opens

from icfqueue.core.errors import TarballChanged, TarballTouched
from icfqueue.core.visit import Visit
from icfqueue.outputs.completeness import Recorded
from icfqueue.outputs.freshness import (
    Change,
    KnownTarball,
    change_here,
    change_in_store,
    check_in_store,
)
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint

V = Visit("study_1", "v")
CONTENT = b"tarball" * 1000
RECORDED = Recorded(len(CONTENT), hashlib.md5(CONTENT).hexdigest())


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


def known(tarball: Path) -> KnownTarball:
    """What a record knows when the tarball was read."""
    return KnownTarball(now(tarball), RECORDED.md5)


def test_a_tarball_that_is_known_is_not_read(store: Store, tarball: Path) -> None:
    guard = CountingGuard()
    with counted_opens() as opens:
        found = change_here(store, V, now(tarball), RECORDED, guard, known=known(tarball))
    assert found is None
    assert (guard.calls, guard.bytes) == (0, 0)
    assert opens[V.tarball] == 0


def touched(tarball: Path) -> None:
    os.utime(tarball)


def replaced_by_name(tarball: Path) -> None:
    """By another file with the same times."""
    before = tarball.stat()
    other = tarball.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(tarball)


def set_back(tarball: Path) -> None:
    os.utime(tarball, ns=(1, 1))


@pytest.mark.parametrize("change", [touched, replaced_by_name, set_back])
def test_a_tarball_that_may_have_changed_is_read_once_and_compared(
    store: Store, tarball: Path, change: Callable[[Path], None]
) -> None:
    before = known(tarball)
    change(tarball)
    guard = CountingGuard()
    with counted_opens() as opens:
        found = change_here(store, V, now(tarball), RECORDED, guard, known=before)
    assert found is None
    assert guard.bytes == len(CONTENT)
    assert opens[V.tarball] == 1


@pytest.mark.parametrize("place", range(4))
def test_no_part_of_the_fingerprint_is_compared_for_order(
    store: Store, tarball: Path, place: int
) -> None:
    """Known from the future or from the past: it is not the same."""
    for step in (-1, 1):
        values: Any = list(now(tarball))
        values[place] += step
        other = KnownTarball(tuple(values), RECORDED.md5)
        guard = CountingGuard()
        assert change_here(store, V, now(tarball), RECORDED, guard, known=other) is None
        assert guard.bytes == len(CONTENT)


@pytest.mark.parametrize("name", [V.metadata_tarball, V.refs])
def test_files_from_the_future_vouch_for_nothing(
    store: Store, tarball: Path, name: str
) -> None:
    """As written by a worker whose clock is ahead."""
    path = store.path(V, name)
    path.touch()
    os.utime(path, ns=(2**62, 2**62))
    tarball.write_bytes(CONTENT[::-1])
    assert change_here(store, V, now(tarball), RECORDED) is not None


def test_what_is_known_needs_both_parts() -> None:
    assert KnownTarball.of(None, "0" * 32) is None
    assert KnownTarball.of((1, 2, 3, 4), None) is None
    assert KnownTarball.of((1, 2, 3, 4), "0") == KnownTarball((1, 2, 3, 4), "0")


def test_a_known_tarball_of_another_md5_is_a_change_without_reading(
    store: Store, tarball: Path
) -> None:
    other = known(tarball)._replace(md5="0" * 32)
    found = change_here(store, V, now(tarball), RECORDED, known=other)
    assert found == Change("MD5", "0" * 32, RECORDED.md5)


def test_a_tarball_that_changes_while_it_is_read_is_touched(
    store: Store, tarball: Path
) -> None:
    changing = MeddlingGuard(lambda: os.utime(tarball))
    with pytest.raises(TarballTouched):
        change_here(store, V, now(tarball), RECORDED, changing)


def test_other_bytes_of_the_same_size_are_a_change_of_the_md5(
    store: Store, tarball: Path
) -> None:
    tarball.write_bytes(CONTENT[::-1])
    md5 = hashlib.md5(CONTENT[::-1]).hexdigest()
    found = change_here(store, V, now(tarball), RECORDED)
    assert found == Change("MD5", md5, RECORDED.md5)


def test_another_size_is_a_change_that_needs_no_reading_whatever_is_known(
    store: Store, tarball: Path
) -> None:
    tarball.write_bytes(CONTENT + b"x")
    guard = CountingGuard()
    with counted_opens() as opens:
        found = change_here(store, V, now(tarball), RECORDED, guard, known=known(tarball))
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


@pytest.mark.parametrize(
    ("size", "md5", "words"),
    [
        (len(CONTENT), RECORDED.md5, ""),
        (None, None, ""),
        (8, RECORDED.md5, f"has 8 bytes in the store; .* one with {len(CONTENT)}"),
        (None, "0" * 32, f"has the MD5 0{{32}} in the store; .* one with {RECORDED.md5}"),
    ],
)
def test_another_tarball_in_the_store_is_a_failure_with_a_way_out(
    size: int | None, md5: str | None, words: str
) -> None:
    check_in_store(V, None, size, md5)
    if not words:
        check_in_store(V, RECORDED, size, md5)
        return
    with pytest.raises(TarballChanged, match=words) as caught:
        check_in_store(V, RECORDED, size, md5)
    assert "--force" in caught.value.hint
