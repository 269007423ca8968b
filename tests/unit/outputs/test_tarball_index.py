"""What the index leaves for the next steps, and when it counts as absent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.guards import CountingGuard

from icfqueue.core.errors import BadTarball, TarballTouched
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import write_tar
from icfqueue.outputs import tarball_index
from icfqueue.outputs.tarball_index import Index, Listing
from icfqueue.store.directory import Store
from icfqueue.tarball.scan import Tarball

V = Visit("study_1", "v1")
NEWEST = 1_374_063_300


@pytest.fixture
def tarball(store: Store) -> Path:
    path = store.path(V, V.tarball)
    path.parent.mkdir()
    write_tar(path, [("a", b"x"), ("b", b"y")], mtime=NEWEST)
    return path


@pytest.fixture
def index(store: Store, tarball: Path) -> Index:
    """The note on that tarball, in the visit's work folder."""
    fingerprint = store.fingerprint(tarball)
    assert fingerprint is not None
    made = Index(
        Tarball(9, "0" * 32, 2, NEWEST + 5), fingerprint, True, Listing(3, "1" * 32)
    )
    store.make_dir(store.work_dir(V))
    tarball_index.index_path(store, V).write_text(tarball_index.dump(made))
    return made


def test_what_was_noted_is_read_again(store: Store, index: Index) -> None:
    assert tarball_index.read(store, V) == index


def test_both_files_lie_in_the_visits_work_folder(store: Store) -> None:
    work = store.work_dir(V)
    assert tarball_index.index_path(store, V) == work / "index.json"
    assert tarball_index.dicoms_path(store, V) == work / "dicoms.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"size": 1}', "\udcff"])
@pytest.mark.usefixtures("index")
def test_a_damaged_note_counts_as_none(store: Store, text: str) -> None:
    """It is ours, and can be made anew."""
    path = tarball_index.index_path(store, V)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert tarball_index.read(store, V) is None


@pytest.mark.parametrize("field", ["size", "md5", "newest", "fingerprint", "listing"])
@pytest.mark.usefixtures("index")
def test_a_note_that_lacks_a_field_counts_as_none(store: Store, field: str) -> None:
    path = tarball_index.index_path(store, V)
    found = json.loads(path.read_text())
    del found[field]
    path.write_text(json.dumps(found))
    assert tarball_index.read(store, V) is None


def test_the_note_of_the_release_before_is_read_and_ours_is_like_it(
    store: Store, index: Index, tarball: Path
) -> None:
    """A visit may be indexed by a worker of one, and written down by one of the other."""
    path = tarball_index.index_path(store, V)
    found = json.loads(path.read_text())
    assert set(found["fingerprint"]) == {"size", "mtime_ns", "ctime_ns"}
    del found["inode"], found["settled"]
    path.write_text(json.dumps(found))
    assert tarball_index.read(store, V) == index._replace(settled=False)
    tarball.unlink()
    read = tarball_index.read(store, V)
    assert read is not None
    assert read.fingerprint != index.fingerprint


def test_a_note_that_is_not_there_is_none(store: Store) -> None:
    assert tarball_index.read(store, V) is None


def test_a_list_is_known_by_size_and_md5(store: Store) -> None:
    path = store.root / "dicoms.json"
    assert Listing.of(store, path) is None
    path.write_bytes(b"[]\n")
    assert Listing.of(store, path) == Listing(3, hashlib.md5(b"[]\n").hexdigest())


def test_the_newest_time_is_that_of_the_note_if_it_belongs_to_the_tarball(
    store: Store, index: Index
) -> None:
    guard = CountingGuard()
    assert tarball_index.newest_time(store, V, guard) == index.tarball.newest
    assert guard.calls == 0, "the tarball was read"


@pytest.mark.usefixtures("index")
def test_without_a_note_of_this_tarball_it_is_read(store: Store, tarball: Path) -> None:
    write_tar(tarball, [("a", b"x"), ("c", b"zz")], mtime=NEWEST + 77)
    guard = CountingGuard()
    assert tarball_index.newest_time(store, V, guard) == NEWEST + 77
    assert guard.bytes == tarball.stat().st_size
    tarball_index.index_path(store, V).unlink()
    assert tarball_index.newest_time(store, V, UNGUARDED) == NEWEST + 77


def test_a_tarball_that_went_or_is_damaged_is_told(store: Store, tarball: Path) -> None:
    tarball.write_bytes(b"no tar")
    with pytest.raises(BadTarball, match=V.tarball):
        tarball_index.newest_time(store, V, UNGUARDED)
    tarball.unlink()
    with pytest.raises(TarballTouched, match=V.storepath):
        tarball_index.newest_time(store, V, UNGUARDED)


def test_a_tarball_that_was_touched_is_tried_again() -> None:
    found = tarball_index.touched(V)
    assert found.kind == "transient"
    assert V.storepath in found.message


def test_a_stream_is_known_by_what_the_store_calls_it(store: Store, index: Index) -> None:
    """It has no fingerprint; a file that is here later is not what was read."""
    came = index._replace(fingerprint=None, settled=False, validator='"etag"')
    tarball_index.index_path(store, V).write_text(tarball_index.dump(came))
    assert tarball_index.read(store, V) == came
    assert tarball_index.newest_time(store, V, UNGUARDED) == NEWEST
    store.path(V, V.tarball).unlink()
    with pytest.raises(TarballTouched):
        tarball_index.newest_time(store, V, UNGUARDED)
