"""DICOM headers made element by element."""

from __future__ import annotations

import struct

from hypothesis import strategies as st


def element(tag: int, vr: bytes, value: bytes, *, implicit: bool = False) -> bytes:
    """Return one element in little endian (PS3.5, section 7.1)."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", len(value)) + value
    if vr in (b"OB", b"UN", b"SQ", b"UT"):
        return head + vr + bytes(2) + struct.pack("<I", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value


def dicom(*elements: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """Return a file with these elements after its prefix and group 0002."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(0x00020010, b"UI", uid)
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + b"".join(elements)


values = st.binary(max_size=12) | st.from_regex(rb"[A-Za-z0-9 _.\\-]{0,14}", fullmatch=True)
vrs = {
    0x00080005: b"CS",
    0x00080008: b"CS",
    0x00080018: b"UI",
    0x00080060: b"CS",
    0x0008103E: b"LO",
    0x00091010: b"UN",
    0x00180023: b"CS",
    0x00181030: b"LO",
    0x00189005: b"SH",
    0x00200010: b"SH",
    0x00200011: b"IS",
    0x00200013: b"IS",
    0x00280010: b"US",
}
charsets = st.sampled_from(
    [
        b"",
        b"ISO_IR 100",
        b"ISO_IR 192",
        b"ISO_IR 6 ",
        b"ISO_IR 13 ",
        b"GB18030 ",
        b"\\ISO 2022 IR 87",
    ]
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Make a DICOM header in tag order, with odd values and sometimes an odd VR."""
    implicit = draw(st.booleans())
    tags = sorted(draw(st.sets(st.sampled_from(sorted(vrs)), min_size=1)))
    elements = []
    for tag in tags:
        value = draw(charsets if tag == 0x00080005 else values)
        vr = vrs[tag]
        if draw(st.integers(0, 30)) == 0:
            vr = draw(st.sampled_from([b"LO", b"UN", b"SH", b"ST"]))
        if tag == 0x00280010:
            value = bytes(2)
        elements.append(element(tag, vr, value, implicit=implicit))
    syntax = "1.2.840.10008.1.2" + ("" if implicit else ".1")
    return dicom(*elements, syntax=syntax)
