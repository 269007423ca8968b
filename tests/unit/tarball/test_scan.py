"""One pass over a tarball: what is listed, what is told, how much is in memory."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from support.datasets import TAGS
from support.guards import CountingGuard

from icfqueue.core.errors import BadTarball
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.demo.visits import NEWEST, shipped, write_tar
from icfqueue.tarball import scan, stream
from icfqueue.tarball.header import LATEST
from icfqueue.tarball.scan import Counted, Tarball, index_stream, newest_member

FILES = shipped("dicomdirtests/98892003/MR1")
ONE = FILES[0].read_bytes()


def packed(*members: tuple[str, bytes], mtime: float = NEWEST) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def indexed(
    *members: tuple[str, bytes], guard: Guard = UNGUARDED
) -> tuple[Tarball, list[dict[str, Any]]]:
    out = io.BytesIO()
    found = index_stream(io.BytesIO(packed(*members)), out, guard, name="v_dicom.tar")
    listing: list[dict[str, Any]] = json.loads(out.getvalue())
    return found, listing


def test_dicoms_are_listed_in_tar_order_in_the_layout_of_the_metadata_file() -> None:
    two = FILES[1].read_bytes()
    members = [("v/z", two), ("v/README", b"text"), ("v/ä a", ONE)]
    found, listing = indexed(*members)
    whole = packed(*members)
    md5 = hashlib.md5(whole).hexdigest()
    assert found == Tarball(len(whole), md5, 2, NEWEST)
    assert [one["path"] for one in listing] == ["v/z", "v/ä a"]
    assert [list(one) for one in listing] == [["path", "md5", "size", *TAGS]] * 2
    assert listing[1]["md5"] == hashlib.md5(ONE).hexdigest()
    assert (listing[1]["size"], listing[1]["Modality"]) == (len(ONE), "MR")


def test_every_byte_and_every_dicom_is_reported() -> None:
    guard = CountingGuard()
    found, _ = indexed(("a", ONE), ("b", ONE), ("c", b"x"), guard=guard)
    assert (guard.bytes, guard.dicoms) == (found.size, 2)


def test_a_tarball_without_dicoms_is_refused() -> None:
    with pytest.raises(BadTarball, match=r"v_dicom\.tar has no DICOM file"):
        indexed(("a", b"text"))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("../a", b"x"), ("b", ONE)], "leads out"),
        ([("b", ONE), ("b", b"text")], "twice"),
        ([("a&b", ONE)], "'&'"),
        ([("icf/v_dicom.tar", ONE)], "in the way of the tarball itself"),
    ],
)
def test_every_member_is_checked(members: list[tuple[str, bytes]], words: str) -> None:
    with pytest.raises(BadTarball, match=words):
        index_stream(io.BytesIO(packed(*members)), io.BytesIO(), dspath="icf/v_dicom.tar")


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [(5.9, 5), (-7, 0), (float(LATEST) + 9e9, LATEST)],
)
def test_the_newest_time_is_one_that_git_takes(mtime: float, expected: int) -> None:
    """A member may claim any."""
    whole = packed(("a", ONE), mtime=mtime)
    assert index_stream(io.BytesIO(whole), io.BytesIO()).newest == expected
    assert newest_member(io.BytesIO(whole), name="x") == expected


def test_the_newest_time_is_found_without_a_look_at_contents() -> None:
    guard = CountingGuard()
    whole = packed(("a", b"no DICOM"), ("../b", b""))
    assert newest_member(io.BytesIO(whole), guard, name="x") == NEWEST
    assert guard.bytes == len(whole)
    with pytest.raises(BadTarball, match="x is empty"):
        newest_member(io.BytesIO(), name="x")


def test_what_was_written_is_counted() -> None:
    out = io.BytesIO()
    counted = Counted(out)
    assert counted.write(b"ab") + counted.write(b"c") == 3
    assert (out.getvalue(), counted.size) == (b"abc", 3)
    assert counted.md5.hexdigest() == hashlib.md5(b"abc").hexdigest()


def test_a_large_dicom_is_read_in_pieces() -> None:
    """One that does not fit a buffer, and one whose header alone does not."""
    large = ONE + os.urandom(5 << 20)
    at = ONE.index(b"\x08\x00\x60\x00CS")
    bulk = b"\x08\x00\x06\x00OB\0\0" + (3 << 20).to_bytes(4, "little") + bytes(3 << 20)
    end = ONE.index(b"\x08\x00\x05\x00CS")
    assert end < at
    # (0008,0006) comes after the character set and before the modality.
    after = end + 8 + int.from_bytes(ONE[end + 6 : end + 8], "little")
    long = ONE[:after] + bulk + ONE[after:]
    found, listing = indexed(("a", ONE), ("b", large), ("c", long), ("d", bulk))
    assert found.dicoms == 3
    first, *others = listing
    for one, content in zip(others, (large, long), strict=True):
        assert one["md5"] == hashlib.md5(content).hexdigest()
        assert {**first, "path": 0, "md5": 0, "size": 0} == {
            **one,
            "path": 0,
            "md5": 0,
            "size": 0,
        }


def test_memory_does_not_grow_with_the_tar() -> None:
    """A member of many buffers needs no more memory than one of one."""

    class Endless:
        """A tar of one member, made while it is read."""

        def __init__(self, size: int) -> None:
            info = tarfile.TarInfo("v/a.txt")
            info.size = size
            self._head = info.tobuf(tarfile.GNU_FORMAT)
            self._left = size

        def readinto(self, view: memoryview) -> int:
            if self._head:
                view[:512], self._head = self._head, b""
                return 512
            count = min(self._left, len(view))
            self._left -= count
            return count

    peaks = []
    for size in (8 << 20, 80 << 20):
        tracemalloc.start()
        with pytest.raises(BadTarball, match=r"no end mark|ends"):
            scan.index_stream(Endless(size), io.BytesIO())  # type: ignore[arg-type]  # what is used
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)
    assert peaks[0] < 4 * stream.BUFFER


def test_the_list_is_written_as_it_grows(tmp_path: Path) -> None:
    """Many small DICOM files leave for the disk before the tar ends."""
    path = tmp_path / "v.tar"
    small = ONE[:400]
    write_tar(path, ((f"v/{number}", small) for number in range(2500)))
    sizes: list[int] = []

    class Out(io.BytesIO):
        def write(self, content: bytes, /) -> int:  # type: ignore[override]  # bytes alone come
            sizes.append(len(content))
            return super().write(content)

    out = Out()
    with path.open("rb", buffering=0) as source:
        assert scan.index_stream(source, out).dicoms == 2500
    assert len(sizes) == 3
    assert len(json.loads(out.getvalue())) == 2500


BAD = {
    "no tar": b"no tar" * 1_000_000,
    "packed": b"\x1f\x8b" + bytes(3_000_000),
    "cut": packed(("v/a", ONE), ("v/b", bytes(3_000_000)))[:2_000_000],
    "two": packed(("v/a", ONE)) + packed(("v/b", bytes(3_000_000))),
    "no DICOM": packed(("v/a", bytes(3_000_000))),
    "a name": packed(("../a", ONE), ("v/b", bytes(3_000_000))),
    "empty": b"",
}


@pytest.mark.parametrize("what", BAD)
def test_the_md5_of_a_bad_tarball_is_told_before_it_is_called_bad(what: str) -> None:
    """All of it is read for that, and told of."""
    told: list[str] = []
    guard = CountingGuard()
    source = io.BytesIO(BAD[what])
    with pytest.raises(BadTarball):
        index_stream(source, io.BytesIO(), guard, whole=told.append)
    assert told == [hashlib.md5(BAD[what]).hexdigest()]
    assert guard.bytes == len(BAD[what])


@pytest.mark.parametrize("content", [packed(("v/a", ONE)), BAD["cut"]])
def test_what_is_said_of_the_md5_counts_more(content: bytes) -> None:
    def refuse(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index_stream(io.BytesIO(content), io.BytesIO(), whole=refuse)
