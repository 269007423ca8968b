"""The walk over a DICOM header: what it dares to read, and what it leaves to pydicom."""

from __future__ import annotations

import struct

import pydicom
import pytest
from hypothesis import given
from support.dicom import dicom, element, headers

from icfqueue.demo.visits import shipped
from icfqueue.tarball import dicom_tags
from icfqueue.tarball.dicom_tags import scan
from icfqueue.tarball.dicom_walk import NAMES, Layout, Unknown, Walk, plain
from icfqueue.tarball.identifiers.values import Values, personal

MR = element(0x00080060, b"CS", b"MR")
NUMBER = element(0x00200011, b"IS", b"3 ")


def test_most_shipped_files_need_no_pydicom() -> None:
    """The walk is no ornament: it reads nearly every file that follows the standard."""
    dicoms = [file.read_bytes() for file in shipped() if pydicom.misc.is_dicom(str(file))]
    walked = [content for content in dicoms if scan(content)]
    assert len(walked) > 0.8 * len(dicoms) > 50


@given(header=headers())
def test_walk_and_pydicom_agree_on_any_header(header: bytes) -> None:
    """What the walk dares to read is what pydicom reads."""
    alone = scan(header)
    if alone is not None:
        assert alone == dicom_tags.by_pydicom(header)


@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_of_undefined_length_are_passed_over(implicit: bool) -> None:
    """Nested ones too; what looks like a wanted tag inside does not count."""
    undefined, none = struct.pack("<I", 0xFFFFFFFF), struct.pack("<I", 0)
    item = struct.pack("<HH", 0xFFFE, 0xE000) + undefined
    ends = (
        struct.pack("<HH", 0xFFFE, 0xE00D) + none,
        struct.pack("<HH", 0xFFFE, 0xE0DD) + none,
    )

    def sequence(tag: int, content: bytes) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        return head + (b"" if implicit else b"SQ\0\0") + undefined + content + ends[1]

    inner = item + element(0x00080060, b"CS", b"XX", implicit=implicit) + ends[0]
    nested = sequence(0x00081140, inner + struct.pack("<HHI", 0xFFFE, 0xE000, 0))
    content = dicom(
        sequence(0x00080006, item + nested + ends[0]),
        element(0x00080060, b"CS", b"MR", implicit=implicit),
        element(0x00200011, b"IS", b"3 ", implicit=implicit),
        syntax="1.2.840.10008.1.2" + ("" if implicit else ".1"),
    )
    found = scan(content)
    assert found == dicom_tags.by_pydicom(content)
    assert found is not None
    assert found["Modality"] == "MR"


def test_the_walk_stops_at_the_last_of_the_six_tags() -> None:
    """What follows, pixels among it, is not looked at."""
    content = dicom(MR, NUMBER)
    layout = Walk(content + b"no element at all").layout()
    assert layout.end == len(content)
    # Without that tag it stops at the first one beyond it.
    beyond = element(0x00280010, b"US", bytes(2))
    assert Walk(dicom(MR, beyond) + b"rubbish").layout().raw(dicom(MR, beyond))[12] == b""


def test_values_stand_in_tag_order_and_absent_ones_are_empty() -> None:
    content = dicom(
        element(0x00080005, b"CS", b"ISO_IR 100"),
        MR,
        element(0x00181030, b"LO", b"t1"),
        NUMBER,
    )
    raw = Walk(content).layout().raw(content)
    assert raw == of_slots({0: b"ISO_IR 100", 2: b"MR", 10: b"t1", 12: b"3 "})


def of_slots(values: dict[int, bytes]) -> tuple[bytes, ...]:
    return tuple(values.get(slot, b"") for slot in range(13))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("undefined", [False, True])
def test_who_a_person_is_is_read_on_the_way(implicit: bool, undefined: bool) -> None:
    """Other ids stand in a sequence, whose length may be undefined."""

    def one(tag: int, vr: bytes, value: bytes) -> bytes:
        return element(tag, vr, value, implicit=implicit)

    inner = one(0x00100020, b"LO", b"OTHER1")
    if undefined:
        start = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        item = start + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        head = struct.pack("<HH", 0x0010, 0x1002) + (b"" if implicit else b"SQ\0\0")
        end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        sequence = head + struct.pack("<I", 0xFFFFFFFF) + item + end
    else:
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        sequence = one(0x00101002, b"SQ", item)
    content = dicom(
        one(0x00080050, b"SH", b"ACC123"),
        one(0x00080060, b"CS", b"MR"),
        one(0x00100010, b"PN", b"Doe^Jane"),
        one(0x00100020, b"LO", b"PAT001"),
        one(0x00100030, b"DA", b"19660101"),
        one(0x00101000, b"LO", b"OLD1\\OLD2 "),
        sequence,
        one(0x00200011, b"IS", b"3 "),
        syntax="1.2.840.10008.1.2" + ("" if implicit else ".1"),
    )
    found = personal(Walk(content).layout().raw(content))
    assert found[:-1] == (
        *(b"", b"ACC123", b"Doe^Jane", b"PAT001", b"19660101", b"OLD1\\OLD2 "),
    )
    assert b"OTHER1" in found.other_ids_sequence
    values = Values()
    values.add_raw(found)
    assert values.found == {
        *(("accession", "ACC123"), ("name", "Doe^Jane"), ("id", "PAT001")),
        *(("birth-date", "19660101"), ("other-id", "OLD1"), ("other-id", "OLD2")),
        ("other-id", "OTHER1"),
    }
    by_pydicom = Values()
    assert dicom_tags.by_pydicom(content, values=by_pydicom) == scan(content)
    assert by_pydicom.found == values.found


def test_a_value_of_any_length_or_vr_sends_no_file_to_pydicom() -> None:
    """Of a long one, only the beginning is looked at."""
    content = dicom(MR, element(0x00100010, b"UT", b"x" * 5000), NUMBER)
    assert len(personal(Walk(content).layout().raw(content)).name) == 1024


def test_a_layout_fits_files_with_the_same_headers_at_the_same_places() -> None:
    first = dicom(MR, element(0x0008103E, b"LO", b"head"), NUMBER)
    same = dicom(MR, element(0x0008103E, b"LO", b"neck"), NUMBER)
    longer = dicom(MR, element(0x0008103E, b"LO", b"shoulder"), NUMBER)
    other = dicom(MR, element(0x00081030, b"LO", b"neck"), NUMBER)
    layout = Walk(first).layout()
    assert layout.same(first) == layout.saying
    assert layout.same(same) == layout.saying
    assert layout.raw(same)[3] == b"neck"
    assert len(same[:-9]) < layout.end
    for content in (longer, other):
        assert layout.same(content) != layout.saying


def test_a_layout_is_told_by_the_pieces_that_must_be_the_same() -> None:
    layout = Layout([(0, 2), (4, 1)], [(2, 2)] + [(5, 0)] * 6, b"ab..c")
    assert layout.same(b"abXYc") == layout.saying
    assert layout.same(b"abXYd") != layout.saying
    assert layout.raw(b"abXYc")[0] == b"XY"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (dicom(element(0x0008103E, b"LO", b"ab"), MR, NUMBER), "not in tag order"),
        (dicom(MR, MR), "an element twice"),
        (dicom(MR), "nothing beyond the last tag"),
        (dicom(element(0x00080060, b"XX", b"MR"), NUMBER), "an unknown VR"),
        (dicom(element(0x00080060, b"LO", b"MR"), NUMBER), "another VR than is wanted"),
        (dicom(MR, NUMBER, syntax="1.2.840.10008.1.2.2"), "big endian"),
        (dicom(MR, NUMBER, syntax="1.2.840.10008.1.2.1.99"), "deflated"),
        (dicom(MR, NUMBER, syntax="1.2.840.113619.5.2"), "a private syntax"),
        (dicom(MR, NUMBER, syntax="1.2.840.10008.1.2"), "explicit where it says implicit"),
        (bytes(128) + b"DICM" + MR + NUMBER, "no transfer syntax"),
    ],
)
def test_what_it_does_not_know_is_pydicoms(content: bytes, why: str) -> None:
    walk = Walk(content)
    with pytest.raises(Unknown):
        walk.layout()
    assert not walk.short, why


@pytest.mark.parametrize("cut", [140, 150, 170, 180])
def test_a_file_that_ends_within_an_element_is_told_from_an_odd_one(cut: int) -> None:
    """More of it may be at hand."""
    walk = Walk(dicom(MR, NUMBER)[:cut])
    with pytest.raises(Unknown):
        walk.layout()
    assert walk.short


def test_sequences_are_not_followed_without_end() -> None:
    """Each level is a call: a file of nothing but beginnings must not end the worker."""
    deep = struct.pack("<HH2s2xI", 0x0008, 0x0006, b"SQ", 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    content = dicom((deep + item) * 5000)
    with pytest.raises(Unknown):
        Walk(content).layout()


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b"7 ", 7),
        (b" 07", 7),
        (b"-3", -3),
        (b"+4", 4),
        (b"7\0", 7),
        (b"123456789", 123456789),
    ],
)
def test_a_number_is_read_where_it_is_surely_one(raw: bytes, number: int) -> None:
    tags = plain(of_slots({2: b"MR ", 12: raw}))
    assert tags is not None
    assert tags == dict.fromkeys(NAMES, "") | {"Modality": "MR", "SeriesNumber": number}


@pytest.mark.parametrize(
    "raw",
    [
        *({12: number} for number in (b"1.5", b"1234567890", b"x")),
        {2: b"A\\B"},
        {2: "Schädel".encode()},
        {2: b"\x1b$B"},
        {0: b"GB18030 ", 2: b"MR"},
    ],
)
def test_values_that_may_mean_something_else_are_pydicoms(raw: dict[int, bytes]) -> None:
    """Several of them, other letters, numbers that are none or too long."""
    assert plain(of_slots(raw)) is None
