"""What one header of a tar says: the answers are tarfile's, or the header is damaged."""

from __future__ import annotations

import tarfile

import pytest

from icfqueue.tarball.header import (
    BLOCK,
    CONTINUED,
    FILE,
    HARD_LINK,
    OTHER,
    SPARSE,
    SYMBOLIC_LINK,
    Damaged,
    intact,
    member,
    number,
    records,
    shown,
    text,
)


def block(name: str = "v/a", form: int = tarfile.GNU_FORMAT, **fields: object) -> bytes:
    """Return the last header that tarfile writes of a member."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(form)[-BLOCK:]


def test_a_header_is_intact_as_it_was_written_and_not_with_another_byte() -> None:
    whole = block(size=7)
    assert intact(whole)
    for at in (0, 100, 124, 257, 511):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1
        assert not intact(bytes(spoilt))
    assert not intact(whole[:148] + b"nonsense" + whole[156:])


def test_letters_beyond_ascii_and_signed_sums_of_old_tars_are_intact() -> None:
    whole = bytearray(block("v/ä"))
    assert intact(bytes(whole))
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % (sum(whole) - 256 * 2)
    assert intact(bytes(whole))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"00000000017\0", 15),
        (b"      17\0\0\0\0", 15),
        (b"17\0garbage__", 15),
        (b"\0" * 12, 0),
        (b"\x80" + (5).to_bytes(11, "big"), 5),
        (b"\x80" + (2**70).to_bytes(11, "big"), 2**70),
        (b"\xff" * 12, -1),
    ],
)
def test_a_number_is_octal_or_binary_as_gnu_tar_has_it(field: bytes, value: int) -> None:
    assert number(field, "size") == value == tarfile.nti(field)


@pytest.mark.parametrize("field", [b"9\0", b"x\0", b"1 1\0"])
def test_what_is_no_number_is_damage(field: bytes) -> None:
    with pytest.raises(Damaged, match="the size is no number"):
        number(field, "size")


def test_a_name_ends_at_the_first_nul_and_need_not_be_utf8() -> None:
    assert text(b"ab\0cd") == "ab"
    assert text("ä".encode()) == "ä"
    assert text(b"\xff") == "\udcff"


def pax(**said: str) -> bytes:
    """Return the content of a pax header, each line with its own length before it."""
    lines = b""
    for key, value in said.items():
        rest = f" {key}={value}\n".encode()
        lines += b"%d%b" % (len(rest) + 2, rest)
    return lines


def test_records_of_a_pax_header_are_read() -> None:
    lines = pax(path="a/ä/b", size="12", comment="a=b\nc")
    assert lines.startswith(b"15 path=")
    assert records(lines) == {"path": "a/ä/b", "size": "12", "comment": "a=b\nc"}
    assert records(lines + bytes(100))["size"] == "12"
    assert records(b"") == {}
    # Folders are called without the slash.
    assert records(b"11 path=a/\n")["path"] == "a"


@pytest.mark.parametrize(
    "content",
    [b"nonsense", b"5 a=b", b"99 a=b\n", b"6 ab\n", b"0 a=b\n", b"-6 a=b\n", b" a=b\n"],
)
def test_a_pax_header_that_cannot_be_read_is_damage(content: bytes) -> None:
    with pytest.raises(Damaged, match="extended header"):
        records(content)


@pytest.mark.parametrize(
    ("form", "kind", "padded"),
    [
        (b"0", FILE, 1024),
        (b"\0", FILE, 1024),
        (b"7", FILE, 1024),
        (b"1", HARD_LINK, 0),
        (b"2", SYMBOLIC_LINK, 0),
        (b"3", OTHER, 0),
        (b"5", OTHER, 0),
        (b"6", OTHER, 0),
        (b"S", SPARSE, 1024),
        (b"M", CONTINUED, 1024),
        (b"Z", OTHER, 1024),
    ],
)
def test_the_type_says_what_it_is_and_whether_content_follows(
    form: bytes, kind: str, padded: int
) -> None:
    raw = bytearray(block(size=513))
    raw[156:157] = form
    found = member(bytes(raw), {}, None, 77)
    assert (found.kind, found.padded, found.size, found.offset) == (kind, padded, 513, 77)


def test_a_name_before_posix_that_ends_with_a_slash_is_a_folder() -> None:
    raw = bytearray(block("v/folder/"))
    raw[156] = 0
    found = member(bytes(raw), {}, None, 0)
    assert (found.name, found.kind, found.padded) == ("v/folder", OTHER, 0)


def test_a_long_name_is_joined_from_its_two_fields() -> None:
    name = "a" * 60 + "/" + "b" * 80
    assert member(block(name, tarfile.USTAR_FORMAT), {}, None, 0).name == name


def test_what_pax_and_gnu_headers_say_goes_before_what_the_header_says() -> None:
    raw = block("short", size=1, mtime=5)
    said = {"path": "pax", "size": "600", "mtime": "7.5"}
    found = member(raw, said, None, 0)
    assert (found.name, found.size, found.mtime) == ("pax", 600, 7.5)
    assert found.padded == 1024
    assert member(raw, said, "gnu", 0).name == "gnu"
    # tarfile takes what is no number for none.
    odd = member(raw, {"size": "many", "mtime": "nan"}, None, 0)
    assert (odd.size, odd.mtime) == (0, 0)


def test_a_sparse_file_of_the_pax_kind_is_known_by_its_records() -> None:
    assert member(block(), {"GNU.sparse.major": "1"}, None, 0).kind == SPARSE


def test_a_negative_size_is_damage() -> None:
    with pytest.raises(Damaged, match="size is negative"):
        member(block(), {"size": "-5"}, None, 0)


def test_a_path_is_shown_with_its_control_characters_and_shortened() -> None:
    assert shown("a\n\u202eb\udcff") == r"'a\n\u202eb\udcff'"
    assert len(shown("x" * 5000)) < 250
