"""``icfqueue repack``: a tarball that the index refuses becomes one that it takes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.folders import DAY, image

from icfqueue.archive.repack import LIST, NEW, OLD, repack
from icfqueue.core.errors import ArchiveExists, BadTarball, NotInStore
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store
from icfqueue.store.near_misses import near_misses
from icfqueue.tarball.scan import index_stream

VISIT = Visit("study_1", "visit_1")
Members = list[tuple[str, bytes | None, dict[str, object]]]


def tar_of(members: Members) -> bytes:
    """Return a tar of members (name, content or None, fields of the header)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.mtime = DAY + 0.5
            for field, value in fields.items():
                setattr(info, field, value)
            if content is not None:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


BAD: Members = [
    ("./p", None, {"type": tarfile.DIRTYPE}),
    ("./p/1.dcm", image(1), {"mode": 0o600, "uid": 1000}),
    ("./p/T1 & T2", image(2), {}),
    ("./p/hard", None, {"type": tarfile.LNKTYPE, "linkname": "./p/1.dcm"}),
    ("./p/soft", None, {"type": tarfile.SYMTYPE, "linkname": "../p/hard"}),
    ("./p/nowhere", None, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    ("./p/loop", None, {"type": tarfile.SYMTYPE, "linkname": "loop"}),
    ("./p/folder", None, {"type": tarfile.SYMTYPE, "linkname": "../p"}),
    ("./p/pipe", None, {"type": tarfile.FIFOTYPE}),
    ("./p/1.dcm", image(3), {}),
    ("./p/notes.txt", b"of the visit", {}),
]
WANTED = {
    "p/1-2.dcm": image(1),
    "p/T1 _ T2": image(2),
    "p/hard": image(1),
    "p/soft": image(1),
    "p/1.dcm": image(3),
    "p/notes.txt": b"of the visit",
}


@pytest.fixture
def tarball(store: Store) -> Path:
    store.project_dir(VISIT.project).mkdir()
    return store.path(VISIT, VISIT.tarball)


def with_suffix(tarball: Path, suffix: str) -> Path:
    return tarball.with_name(tarball.name + suffix)


def in_folder(store: Store) -> set[str]:
    return {path.name for path in store.project_dir(VISIT.project).iterdir()}


def contents_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as found:
        return {m.name: found.extractfile(m).read() for m in found}  # type: ignore[union-attr]  # all are files


def test_what_no_dataset_could_have_is_mended_beside_it(
    store: Store, tarball: Path
) -> None:
    old = tar_of(BAD)
    tarball.write_bytes(old)
    done = repack(store, VISIT)
    assert tarball.read_bytes() == old
    assert in_folder(store) == {VISIT.tarball, VISIT.tarball + NEW, VISIT.tarball + LIST}
    new = with_suffix(tarball, NEW).read_bytes()
    assert list(contents_of(new).items()) == list(WANTED.items())
    assert (done.size, done.md5) == (len(new), hashlib.md5(new).hexdigest())
    found = index_stream(io.BytesIO(new), io.BytesIO(), dspath=VISIT.dspath)
    assert found.dicoms == done.dicoms == 5
    with tarfile.open(fileobj=io.BytesIO(new)) as members:
        assert {(m.uid, m.uname, m.mode, m.mtime) for m in members} == {
            (0, "root", 0o644, DAY)
        }
    listed = json.loads(with_suffix(tarball, LIST).read_text())
    assert (listed["size"], listed["md5"]) == (done.size, done.md5)
    assert [(one["old"], one["new"]) for one in listed["changes"]] == [
        ("./p/nowhere", ""),
        ("./p/loop", ""),
        ("./p/folder", ""),
        ("./p/1.dcm", "p/1-2.dcm"),
        ("./p/T1 & T2", "p/T1 _ T2"),
        ("./p/hard", "p/hard"),
        ("./p/soft", "p/soft"),
        ("./p/1.dcm", "p/1.dcm"),
        ("./p/notes.txt", "p/notes.txt"),
    ]
    assert all(one["why"] for one in listed["changes"])


def test_no_run_takes_what_lies_beside_for_a_visit(store: Store, tarball: Path) -> None:
    tarball.write_bytes(tar_of(BAD))
    repack(store, VISIT)
    repack(store, VISIT, replace=True)
    repack(store, VISIT)
    assert store.visits(VISIT.project) == [VISIT]
    assert store.unusable(VISIT.project) == []
    assert near_misses(store, VISIT.project) == []


def test_in_its_place_only_if_asked_and_the_old_one_is_kept(
    store: Store, tarball: Path
) -> None:
    old = tar_of(BAD)
    tarball.write_bytes(old)
    store.path(VISIT, VISIT.md5sum).write_text("of the old one")
    beside = repack(store, VISIT)
    done = repack(store, VISIT, replace=True)
    assert done.md5 == beside.md5
    assert contents_of(tarball.read_bytes()) == WANTED
    assert with_suffix(tarball, OLD).read_bytes() == old
    assert store.path(VISIT, VISIT.md5sum).read_text() == f"{done.md5}  {VISIT.tarball}\n"
    left = {VISIT.tarball, VISIT.md5sum, VISIT.tarball + OLD, VISIT.tarball + LIST}
    assert in_folder(store) == left
    # Now it is good, and nothing more is done.
    assert repack(store, VISIT, replace=False).path is None
    with pytest.raises(ArchiveExists, match="before it was packed again"):
        repack(store, VISIT, replace=True)
    assert in_folder(store) == left


def test_a_tarball_that_is_good_is_left_alone(store: Store, tarball: Path) -> None:
    tarball.write_bytes(tar_of([("p/1.dcm", image(1), {}), ("p/a&b.txt", b"", {})]))
    assert repack(store, VISIT, replace=True).path is None
    assert in_folder(store) == {VISIT.tarball}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_one_becomes_plain(
    store: Store, tarball: Path, pack: Callable[[bytes], bytes]
) -> None:
    tarball.write_bytes(pack(tar_of([("p/1.dcm", image(1), {})])))
    done = repack(store, VISIT)
    assert (done.unpacked, done.changes) == (True, ())
    assert contents_of(with_suffix(tarball, NEW).read_bytes()) == {"p/1.dcm": image(1)}
    assert in_folder(store) == {VISIT.tarball, VISIT.tarball + NEW, VISIT.tarball + LIST}


def test_a_sparse_file_becomes_a_whole_one(store: Store, tarball: Path) -> None:
    """As GNU tar writes it (version 1.0 in pax headers)."""
    pieces = b"2\n0\n512\n1024\n512\n".ljust(512, b"\0") + b"a" * 512 + b"b" * 512
    fields = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "p/sparse",
        "GNU.sparse.realsize": "1536",
    }
    members: Members = [
        ("p/1.dcm", image(1), {}),
        ("GNUSparseFile.0/sparse", pieces, {"pax_headers": fields}),
    ]
    tarball.write_bytes(tar_of(members))
    done = repack(store, VISIT)
    assert [change.why for change in done.changes] == ["is a sparse file"]
    found = contents_of(with_suffix(tarball, NEW).read_bytes())
    assert found["p/sparse"] == b"a" * 512 + bytes(512) + b"b" * 512


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar_of(BAD)[:3000], "is cut"),
        (tar_of(BAD)[:1024] + b"x" * 512 + tar_of(BAD)[1536:], "damaged header"),
        (gzip.compress(mtime=0, data=tar_of(BAD))[:-40], "compressed, and damaged"),
        (
            gzip.compress(mtime=0, data=tar_of(BAD))[:200] + bytes(300),
            "compressed, and damaged",
        ),
        (lzma.compress(tar_of(BAD))[:-40], "compressed, and damaged"),
        (gzip.compress(mtime=0, data=b"no tar"), "is no tarball"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"", "is empty"),
        (tar_of([("p/a", b"no image", {})]), "nothing"),
        (tar_of([("./p/a", b"no image", {})]), "has no DICOM file"),
    ],
    ids=[
        "cut",
        "damaged",
        "gz-cut",
        "gz-damaged",
        "xz-cut",
        "no-tar",
        "zstd",
        "empty",
        "good",
        "no-dicom",
    ],
)
def test_what_is_damaged_is_not_packed_again(
    store: Store, tarball: Path, content: bytes, words: str
) -> None:
    tarball.write_bytes(content)
    if words == "nothing":
        assert repack(store, VISIT).path is None
    else:
        with pytest.raises(BadTarball, match=words) as caught:
            repack(store, VISIT)
        assert caught.value.hint
    assert in_folder(store) == {VISIT.tarball}


def test_a_tarball_that_is_not_there(store: Store, tarball: Path) -> None:
    """Or only under the name of one that was replaced: then it is told how to go back."""
    with pytest.raises(NotInStore, match=r"is not there$"):
        repack(store, VISIT)
    kept = with_suffix(tarball, OLD)
    kept.write_bytes(tar_of(BAD))
    with pytest.raises(NotInStore, match="is not there, but") as caught:
        repack(store, VISIT, replace=True)
    assert caught.value.hint == f"`mv {kept} {tarball}`"


parts = st.sampled_from(["a", "b&", "c#", ".", "..", ".git", "ü", "\n", "a_", "d e"])
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
members = st.lists(
    st.one_of(
        st.tuples(paths, st.integers(0, 3).map(image), st.just({})),
        st.tuples(paths, st.binary(max_size=30), st.just({})),
        st.tuples(
            paths,
            st.none(),
            st.builds(
                lambda kind, name: {"type": kind, "linkname": name},
                st.sampled_from([tarfile.LNKTYPE, tarfile.SYMTYPE]),
                paths,
            ),
        ),
        st.tuples(paths, st.none(), st.just({"type": tarfile.DIRTYPE})),
    ),
    max_size=6,
)


@settings(max_examples=30)
@given(found=members)
def test_whatever_comes_out_passes_the_index(
    found: Members, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And no content is lost that a member or a link inside had."""
    made = Store(tmp_path_factory.mktemp("store"))
    made.project_dir(VISIT.project).mkdir()
    tarball = made.path(VISIT, VISIT.tarball)
    all_of_them: Members = [("first&.dcm", image(9), {}), *found]
    tarball.write_bytes(tar_of(all_of_them))
    done = repack(made, VISIT, replace=True)
    with tarball.open("rb") as new:
        assert index_stream(new, io.BytesIO(), dspath=VISIT.dspath).md5 == done.md5
    wanted = {content for _, content, _ in all_of_them if content is not None}
    assert set(contents_of(tarball.read_bytes()).values()) == wanted


def test_a_file_system_without_second_names_gives_the_old_one_the_other(
    store: Store, tarball: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    tarball.write_bytes(tar_of(BAD))
    monkeypatch.setattr(os, "link", refuse)
    repack(store, VISIT, replace=True)
    assert with_suffix(tarball, OLD).read_bytes() == tar_of(BAD)
    assert contents_of(tarball.read_bytes()) == WANTED


def test_which_tarball_was_meant_is_guessed(store: Store) -> None:
    store.project_dir("study_1").mkdir()
    with pytest.raises(NotInStore) as caught:
        repack(store, VISIT)
    assert caught.value.hint == "no tarball of the project is there"
    for number in range(7):
        visit = Visit("study_1", f"visit_{number:02}")
        store.path(visit, visit.tarball).touch()
    for visit, hint in (
        (VISIT, "did you mean visit_01?"),
        (
            Visit("study_1", "qqq"),
            "there are visit_00, visit_01, visit_02, visit_03, visit_04 and 2 more",
        ),
        (Visit("stdy_1", "visit_01"), "did you mean study_1?"),
    ):
        with pytest.raises(NotInStore) as caught:
            repack(store, visit)
        assert caught.value.hint == hint
