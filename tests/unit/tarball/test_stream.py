"""A tarball read forwards, once: the members are those of tarfile, damage is refused."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfqueue.core.errors import BadTarball, Cancelled
from icfqueue.tarball import header, stream
from icfqueue.tarball.stream import TarStream

Seen = tuple[str, int, float, int]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def read(source: Any) -> tuple[list[Seen], dict[str, str], TarStream]:
    """Return members, MD5 of each file, and the exhausted stream."""
    seen, md5s = [], {}
    with TarStream(source, lambda _: None, name="v1_dicom.tar") as tar:
        for member in tar.members():
            seen.append((member.name, member.size, member.mtime, member.offset))
            if member.kind == header.FILE:
                content = b"".join(bytes(piece) for piece in tar.pieces())
                md5s[member.name] = hashlib.md5(content[: member.size]).hexdigest()
    return seen, md5s, tar


def agree(content: bytes) -> None:
    """Compare with tarfile: members, their contents, size and MD5 of the whole."""
    seen, md5s, tar = read(io.BytesIO(content))
    with tarfile.open(fileobj=io.BytesIO(content)) as reference:
        infos = reference.getmembers()
        assert seen == [(one.name, one.size, one.mtime, one.offset) for one in infos]
        expected = {}
        for info in infos:
            if info.isreg():
                file = reference.extractfile(info)
                assert file is not None
                expected[info.name] = hashlib.md5(file.read()).hexdigest()
        assert md5s == expected
    assert tar.size == len(content)
    assert tar.md5 == hashlib.md5(content).hexdigest()


def packed(
    members: list[tuple[str, bytes, float]],
    form: int,
    headers: dict[str, str] | None = None,
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=headers) as tar:
        for name, content, mtime in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_reads_what_tarfile_reads(form: int) -> None:
    """Short and long names, empty and large members, in each of the three formats."""
    long = "a" * 60 + "/" + "b" * 80
    members = [
        ("v/1.dcm", b"x", 1.0),
        ("v/empty", b"", 2.0),
        (long, b"y" * 513, 3.0),
        ("v/large", os.urandom(stream.BUFFER + 77), 4.0),
        ("v/medium", os.urandom(stream.SMALL), 5.0),
    ]
    if form != tarfile.USTAR_FORMAT:
        members += [("c" * 300, b"z", 6.0), ("ä/" + "ö" * 120, b"z", 7.0)]
    agree(packed(members, form))


def test_pax_times_names_and_global_headers_are_read_as_tarfile_does() -> None:
    members = [("v/ä.dcm", b"x", 1.5), ("v/b", b"yy", 2.25), ("v/b2", b"yy", 2.25)]
    agree(packed(members, tarfile.PAX_FORMAT, {"mtime": "77.5", "comment": "c"}))


def test_sizes_and_times_in_binary_are_read_as_tarfile_does() -> None:
    """GNU tar writes numbers that octal digits cannot hold in base 256."""
    agree(packed([("v/a", b"x", -5), ("v/b", b"x", 2**40)], tarfile.GNU_FORMAT))


@pytest.mark.parametrize("form", FORMATS)
def test_folders_devices_and_links_have_no_content(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for kind in (b"5", b"6", b"3", b"1", b"2"):
            info = tarfile.TarInfo(f"v/{kind.decode()}")
            info.type, info.linkname = kind, "v/a"
            tar.addfile(info)
        info = tarfile.TarInfo("v/a")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    agree(out.getvalue())


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(
    members=st.lists(
        st.tuples(paths, st.binary(max_size=1500), st.integers(0, 2**33)),
        min_size=1,
        max_size=6,
        unique_by=lambda member: member[0],
    ),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_reads_any_names_as_tarfile_does(
    members: list[tuple[str, bytes, float]], form: int
) -> None:
    agree(packed(members, form))


class Dribble:
    """A source that has only ``read`` and gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._content.read(min(size, 700))


def test_reads_from_a_source_that_gives_little_at_a_time() -> None:
    content = packed([("v/a", b"x" * 5000, 1), ("v/b", b"y" * 99, 1)], tarfile.PAX_FORMAT)
    assert read(Dribble(content))[:2] == read(io.BytesIO(content))[:2]


def test_reads_from_a_pipe() -> None:
    """Nothing is sought: a pipe could not."""
    content = packed([("v/a", os.urandom(3 << 20), 1)], tarfile.GNU_FORMAT)
    out, into = os.pipe()

    def write() -> None:
        with open(into, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with open(out, "rb", buffering=0) as source:
        assert read(source)[2].md5 == hashlib.md5(content).hexdigest()
    thread.join()


ONE = packed([("v/a.dcm", b"x" * 700, 1), ("v/b.dcm", b"y", 1)], tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "no tarball"),
        (bytes(range(256)) * 8, "no tarball"),
        (b"\x1f\x8b" + ONE, "compressed .gzip"),
        (b"BZh9" + ONE, "compressed .bzip2"),
        (b"\xfd7zXZ\0" + ONE, "compressed .xz"),
        (b"\x28\xb5\x2f\xfd" + ONE, "compressed .zstd"),
        (ONE[:100], "no tarball"),
        (ONE[:1000], "ends in member 'v/a.dcm'"),
        (ONE[:1200], "ends in member 'v/a.dcm'"),
        (ONE[:1700], "ends in a header, after member 'v/a.dcm'"),
        (ONE[:1536], "no end mark at byte 1536, after member 'v/a.dcm'"),
        (ONE[:2560], "no end mark"),
        (ONE[:1600] + b"X" + ONE[1601:], "checksum"),
        (ONE + ONE, "data after its end mark"),
    ],
)
def test_what_is_no_whole_tarball_is_refused_with_the_reason(
    content: bytes, words: str
) -> None:
    with pytest.raises(BadTarball, match=words) as caught:
        read(io.BytesIO(content))
    assert "v1_dicom.tar" in str(caught.value)
    assert caught.value.hint


def test_one_block_of_zeros_is_end_mark_enough() -> None:
    """A cut within the end mark loses no member; GNU tar takes it as well."""
    assert len(read(io.BytesIO(ONE[: 2560 + 512]))[0]) == 2


def gnu_header(**fields: bytes) -> bytes:
    """Return a GNU header with `fields` (``at_<byte>``) replaced and a right checksum."""
    info = tarfile.TarInfo("v/a")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    for at, value in fields.items():
        start = int(at.removeprefix("at_"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (gnu_header(at_124=b"\xff" * 12), "size is negative"),
        (gnu_header(at_124=b"99999999999\0"), "size is no number"),
        (gnu_header(at_136=b"zzzzzzzzzzz\0"), "time is no number"),
        (
            gnu_header(at_156=b"x", at_124=b"00000000010\0") + b"nonsense".ljust(512),
            "extended",
        ),
        (gnu_header(at_156=b"x", at_124=b"77777777777\0"), "extended header of"),
        (
            gnu_header(at_156=b"L", at_124=b"00000000002\0") + b"a".ljust(512),
            "without a member",
        ),
    ],
)
def test_a_damaged_header_is_refused(block: bytes, words: str) -> None:
    with pytest.raises(BadTarball, match=words):
        read(io.BytesIO(ONE[:2560] + block + bytes(1024)))


def test_a_header_with_signed_checksum_or_other_letters_is_read() -> None:
    """Names need not be ASCII, and old tars summed signed bytes."""
    block = bytearray(gnu_header(at_0="v/ä".encode()))
    agree(bytes(block) + bytes(1024))
    signed = sum(block[:148] + block[156:]) + 256 - 256 * 2
    block[148:156] = b"%06o\0 " % signed
    agree(bytes(block) + bytes(1024))


def test_the_reading_can_be_called_off(tmp_path: Path) -> None:
    """What `advance` raises comes out, and the hashing thread ends."""
    path = tmp_path / "v.tar"
    path.write_bytes(packed([("v/a", bytes(8 << 20), 1)], tarfile.GNU_FORMAT))

    def advance(_: int) -> None:
        raise Cancelled("called off")

    before = threading.active_count()
    with (
        path.open("rb", buffering=0) as source,
        pytest.raises(Cancelled),
        TarStream(source, advance, name="v") as tar,
    ):
        list(tar.members())
    assert threading.active_count() == before


def test_every_byte_is_reported_once() -> None:
    content = packed([("v/a", bytes(5 << 20), 1)], tarfile.GNU_FORMAT)
    told: list[int] = []
    with TarStream(io.BytesIO(content), told.append, name="v") as tar:
        list(tar.members())
    assert sum(told) == len(content) == tar.size


@pytest.mark.parametrize("members", [0, 1, 3])
def test_the_rest_can_be_taken_for_size_and_md5_wherever_one_stands(members: int) -> None:
    content = packed(
        [("v/a", os.urandom(3 << 20), 1), ("v/b", b"y", 1)], tarfile.GNU_FORMAT
    )
    with TarStream(io.BytesIO(content), lambda _: None, name="t") as tar:
        for _ in zip(range(members), tar.members(), strict=False):
            pass
        tar.take_rest()
        tar.take_rest()
        assert (tar.size, tar.md5) == (len(content), hashlib.md5(content).hexdigest())
