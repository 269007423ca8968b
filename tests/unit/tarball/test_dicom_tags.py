"""The six tags: by the walk or by pydicom, the values are pydicom's."""

from __future__ import annotations

import io
import itertools
import json
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.multival import MultiValue
from pydicom.valuerep import IS, ISfloat
from support.dicom import dicom, element, headers

from icfqueue.demo.visits import shipped
from icfqueue.tarball import dicom_tags
from icfqueue.tarball.dicom_tags import NAMES, NeedMore, TagReader, read, scan

SHIPPED = shipped()


def by_dcmread(content: bytes, *, force: bool = False) -> dict[str, Any] | None:
    """Return the tags as ``pydicom.dcmread`` gives them, written without our code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(
                io.BytesIO(content), stop_before_pixels=True, force=force
            )
        except pydicom.errors.InvalidDicomError:
            return None
        tags: dict[str, Any] = {}
        for name in NAMES:
            value = getattr(found, name, "")
            if value is None:
                value = ""
            elif isinstance(value, MultiValue):
                value = list(value)
            elif isinstance(value, ISfloat):
                value = value.original_string
            elif isinstance(value, IS):
                value = int(value)
            tags[name] = value
        if force and not any(value != "" for value in tags.values()):
            return tags if str(getattr(found, "SOPClassUID", "")) else None
    return tags


def known(content: bytes) -> dict[str, Any]:
    """Return the tags of what must be DICOM."""
    found = read(content)
    assert found is not None
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_file_that_pydicom_ships_has_the_values_that_pydicom_gives(
    path: Path,
) -> None:
    """Whichever way a file is read, the values are pydicom's."""
    content = path.read_bytes()
    expected = by_dcmread(content)
    if expected is None and path.suffix == ".dcm":
        expected = by_dcmread(content, force=True)
    assert read(content) == expected
    alone = scan(content)
    assert alone in (None, expected)


def test_one_reader_for_all_files_gives_the_same_as_a_new_one_for_each() -> None:
    """What is remembered of one file does not show in the next."""
    reader = TagReader()
    for path in [*SHIPPED, *reversed(SHIPPED)]:
        content = path.read_bytes()
        said = reader.read(content)
        assert (None if said is None else json.loads("{" + said)) == read(content)


def test_a_series_is_walked_once() -> None:
    """Files with the same headers at the same places are read by comparison."""
    reader = TagReader()
    files = shipped("dicomdirtests/98892003/MR700")
    for path in files:
        reader.read(path.read_bytes())
    assert len(reader._layouts) < len(files)


def series(number: bytes = b"7 ", **more: bytes) -> bytes:
    tail = more.get("tail", b"")
    return dicom(
        element(0x00080060, b"CS", b"MR"), element(0x00200011, b"IS", number), tail
    )


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"7 ", 7),
        (b" 07", 7),
        (b"-3", -3),
        (b"+4", 4),
        (b"", ""),
        (b"  ", ""),
        (b"7.0 ", 7),
        (b"7.5 ", "7.5"),
        (b"abcd", "abcd"),
        (b"1\\2 ", [1, 2]),
        (b"7\0", 7),
        (b"12345678901234", 12345678901234),
    ],
)
def test_a_series_number_is_an_integer_where_it_is_one(raw: bytes, value: Any) -> None:
    tags = read(series(raw))
    assert tags is not None
    assert tags["SeriesNumber"] == value
    assert type(tags["SeriesNumber"]) is type(value)


def test_several_values_are_a_list() -> None:
    content = dicom(element(0x0008103E, b"LO", b"a\\b "))
    assert read(content) == by_dcmread(content)
    assert known(content)["SeriesDescription"] == ["a", "b"]


@pytest.mark.parametrize(
    ("charset", "raw", "value"),
    [
        (b"ISO_IR 100", "Schädel ".encode("latin-1"), "Schädel"),
        (b"ISO_IR 192", "Schädel".encode(), "Schädel"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 87 ", b"\x1b$B;3ED\x1b(B", "山田"),
    ],
)
def test_other_letters_are_decoded_as_the_file_says(
    charset: bytes, raw: bytes, value: str
) -> None:
    """ISO 2022 and all that is not ASCII goes to pydicom, once per value."""
    content = dicom(
        element(0x00080005, b"CS", charset),
        element(0x0008103E, b"LO", raw),
        element(0x00200011, b"IS", b"3 "),
    )
    assert read(content) == by_dcmread(content)
    reader = TagReader()
    said = reader.read(content)
    assert said is not None
    assert json.loads("{" + said)["SeriesDescription"] == value
    assert reader.read(content) is said


def test_deflated_and_big_endian_files_are_read() -> None:
    body = element(0x00080060, b"CS", b"MR")
    squeezed = zlib.compressobj(wbits=-15)
    deflated = squeezed.compress(body) + squeezed.flush()
    big = struct.pack(">HH2sH", 8, 0x60, b"CS", 2) + b"MR"
    for content in (
        dicom(deflated, syntax="1.2.840.10008.1.2.1.99"),
        dicom(big, syntax="1.2.840.10008.1.2.2"),
    ):
        assert scan(content) is None
        assert known(content)["Modality"] == "MR"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"a text file\n" * 40,
        b"\x89PNG\r\n\x1a\n" + bytes(400),
        b"\x08\x00" + b"hello, this is a text " * 20,
        b"\x08\x00\x05\x00" + bytes(400),
        bytes(1000),
        bytes(range(256)) * 8,
        b'{"json": true}' * 30,
    ],
)
def test_what_is_no_dicom_is_left_out(content: bytes) -> None:
    assert read(content) is None


def test_a_file_without_prefix_is_dicom_if_its_elements_say_so() -> None:
    """Old archives hold such files; pydicom reads them with force."""
    bare = element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0") + element(
        0x00080060, b"CS", b"MR"
    )
    assert known(bare)["Modality"] == "MR"
    assert read(bare[8:]) is None


@pytest.mark.parametrize("cut", [132, 140, 150, 180, 188])
def test_a_damaged_header_still_makes_a_dicom(cut: int) -> None:
    """The prefix says what it is; the tags are those that could be read."""
    tags = read(series()[:cut])
    assert tags is not None
    assert tags["SeriesNumber"] == ""


def test_what_pydicom_cannot_pass_keeps_the_tags_before_it() -> None:
    squeezed = dicom(b"no deflate", syntax="1.2.840.10008.1.2.1.99")
    assert read(squeezed) == dict.fromkeys(NAMES, "")


def test_a_deflated_file_is_not_inflated_without_end() -> None:
    """A small file may inflate to gigabytes; the tags are at the beginning."""
    squeezed = zlib.compressobj(9, wbits=-15)
    body = squeezed.compress(element(0x00080060, b"CS", b"MR") + bytes(40 << 20))
    content = dicom(body + squeezed.flush(), syntax="1.2.840.10008.1.2.1.99")
    assert len(dicom_tags.inflated(content)) <= dicom_tags.INFLATED_LIMIT + 200
    assert known(content)["Modality"] == "MR"
    assert known(content[:-20])["Modality"] == "MR"


def test_more_is_asked_for_when_the_header_is_longer_than_the_piece() -> None:
    content = dicom(
        element(0x00080060, b"CS", b"MR"),
        element(0x00091001, b"OB", bytes(5000)),
        element(0x00200011, b"IS", b"3 "),
    )
    with pytest.raises(NeedMore):
        TagReader().read(content[:3000], whole=False)
    assert TagReader().read(content, whole=False) == TagReader().read(content)
    with pytest.raises(NeedMore):
        TagReader().read(bytes(128) + b"DICM" + bytes(50), whole=False)


def test_pydicom_says_nothing_of_values(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Its warnings and messages quote the file; none comes out."""
    bad = dicom(
        element(0x00080005, b"CS", b"NOT A CHARSET "),
        element(0x00080060, b"CS", b"lower case, much too long"),
        element(0x00200011, b"IS", b"nonsense"),
    )
    assert read(bad) is not None
    for path in SHIPPED[:40]:
        read(path.read_bytes()[:1500])
    assert not caplog.records
    assert not recwarn.list


@given(header=headers(), others=st.lists(headers(), max_size=3))
def test_a_reader_that_has_seen_others_reads_the_same(
    header: bytes, others: list[bytes]
) -> None:
    reader = TagReader()
    for other in itertools.chain(others, [header], others):
        reader.read(other)
    said = reader.read(header)
    assert said is not None
    assert json.loads("{" + said) == dicom_tags.by_pydicom(header)


@given(
    content=st.sampled_from([file for file in SHIPPED if file.stat().st_size < 20_000]),
    flips=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 2000),
)
def test_damage_never_ends_in_an_exception(
    content: Path, flips: list[tuple[int, int]], cut: int | None
) -> None:
    damaged = bytearray(content.read_bytes()[:cut])
    for at, value in flips:
        if at < len(damaged):
            damaged[at] = value
    tags = read(bytes(damaged))
    assert tags is None or list(tags) == list(NAMES)
