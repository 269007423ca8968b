"""The header of a member is what ``tarfile`` writes, and never another."""

from __future__ import annotations

import hashlib
import tarfile

from hypothesis import example, given
from hypothesis import strategies as st

from icfqueue.archive import member_header as module
from icfqueue.archive.member_header import member_header
from icfqueue.tarball.header import FILE, intact, member, records

LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
"""Of names; of the surrogates a name has those alone that stand for bytes (PEP 383)."""


def by_tarfile(name: str, size: int, time: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = 0o644, size, time
    info.uname = info.gname = "root"
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@given(
    name=st.text(LETTERS, min_size=1, max_size=120),
    size=st.integers(0, 8**11 + 9),
    time=st.integers(0, 8**11 + 9),
)
@example("a" * 100, 8**11 - 1, 8**11 - 1)
@example("a" * 101, 8**11, 8**11)
@example("not utf-8: \udcff", 1, 1)
def test_it_is_that_of_tarfile(name: str, size: int, time: int) -> None:
    """The short way for plain headers, and the long one, give the same bytes."""
    assert member_header(name, size, time) == by_tarfile(name, size, time)


@given(
    name=st.text(LETTERS, min_size=1, max_size=300),
    size=st.integers(0, 1 << 60),
    time=st.integers(0, 253_402_300_799),
)
def test_our_own_reader_reads_what_was_written(name: str, size: int, time: int) -> None:
    written = member_header(name, size, time)
    said: dict[str, str] = {}
    if len(written) > 512:
        length = int(written[124:135], 8)
        assert intact(written[:512])
        said = records(written[512 : 512 + length])
    assert intact(written[-512:])
    found = member(written[-512:], said, None, 0)
    assert (found.name, found.size, found.mtime) == (
        name.rstrip("/") if said else name,
        size,
        time,
    )
    assert found.kind == FILE


def test_pax_headers_are_there_only_where_they_are_needed() -> None:
    assert len(member_header("a" * 100, 8**11 - 1, 8**11 - 1)) == 512
    for name, size, time in [
        ("a" * 101, 0, 0),
        ("ä", 0, 0),
        ("a", 8**11, 0),
        ("a", 0, 8**11),
    ]:
        assert len(member_header(name, size, time)) == 1536


def test_the_bytes_are_those_of_the_first_release() -> None:
    """Another Python must not make another tarball of the same files."""
    plain = member_header("p_v/a", 5, 1_398_384_000)
    wide = member_header("p_v/ü" + "x" * 100 + "\udcff", 8**11, 8**11)
    assert hashlib.md5(plain).hexdigest() == "252df582d93a4bc902f15c3ba7cd8bdb"
    assert hashlib.md5(wide).hexdigest() == "be1027548818d70a2d21095dd60e3f43"


def test_a_content_is_padded_to_blocks() -> None:
    assert [module.blocks(size) for size in (0, 1, 512, 513)] == [0, 512, 512, 1024]
