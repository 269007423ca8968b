"""A walk over the header of a DICOM file, up to the last of the tags that are wanted.

A header is a row of elements in tag order, each with tag, length and value (DICOM PS3.5,
section 7.1). The walk goes from element to element by their lengths. It knows explicit
and implicit VR little endian and sequences in both; at anything else it raises
:class:`Unknown`, and :mod:`icfqueue.tarball.dicom_tags` asks pydicom.

The files of a series differ in values, rarely in structure. So a walk leaves a
:class:`Layout` behind: where each element header stood and what it said. A file that has
the same headers at the same places would be walked in the same steps, so comparing them
all at once takes the place of the walk.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, Final

NAMES: Final = (
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "MRAcquisitionType",
    "ProtocolName",
    "PulseSequenceName",
)
"""The six tags, in the order of the metadata file."""

Tags = dict[str, Any]
"""Tag name to value: a string, an integer, or a list of these; ``""`` if absent."""

PREFIX: Final = b"DICM"
"""Stands at byte 128 of a DICOM file (PS3.10, section 7.1)."""

START = 132
"""Where the elements begin: after the prefix."""

_META = 0x0002
CHARSET: Final = 0x00080005
_TRANSFER_SYNTAX = 0x00020010

Wanted = Mapping[int, tuple[int, bytes]]
"""What each wanted element must be to be read here: its place in tag order, and its VR.
The first one is always :data:`CHARSET`. One without a VR is picked as it is, whatever that
is: it sends no file to pydicom."""

OF_IMAGES: Final[Wanted] = {
    CHARSET: (0, b"CS"),
    0x00080050: (1, b""),  # AccessionNumber
    0x00080060: (2, b"CS"),  # Modality
    0x0008103E: (3, b"LO"),  # SeriesDescription
    0x00100010: (4, b""),  # PatientName
    0x00100020: (5, b""),  # PatientID
    0x00100030: (6, b""),  # PatientBirthDate
    0x00101000: (7, b""),  # OtherPatientIDs
    0x00101002: (8, b""),  # OtherPatientIDsSequence
    0x00180023: (9, b"CS"),  # MRAcquisitionType
    0x00181030: (10, b"LO"),  # ProtocolName
    0x00189005: (11, b"SH"),  # PulseSequenceName
    0x00200011: (12, b"IS"),  # SeriesNumber
}
"""Of the images: the six tags that are published, and without a VR what tells who a person
is, which never leaves this process (:mod:`icfqueue.tarball.identifiers`)."""
_NAME_OF_SLOT: Final = {
    2: "Modality",
    3: "SeriesDescription",
    9: "MRAcquisitionType",
    10: "ProtocolName",
    11: "PulseSequenceName",
    12: "SeriesNumber",
}

_LONGEST_PERSONAL = 1024  # bytes of one that are picked; an id has at most 64 characters

# PS3.5, section 7.1.2: these have two reserved bytes and a length of 32 bits.
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)

_IMPLICIT = b"1.2.840.10008.1.2"
DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_ELSEWHERE = frozenset((b"1.2.840.10008.1.2.2", DEFLATED, b"1.2.840.113619.5.2", b""))
"""Transfer syntaxes that are pydicom's: big endian, deflated, a private one, none."""

_ASCII_SETS = frozenset(
    b"ISO_IR %d" % number
    for number in (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 192)
) | {b""}
"""Character sets (PS3.3, section C.12.1.1.2) in which ASCII bytes mean ASCII."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 32

_explicit_header = struct.Struct("<HH2sH").unpack_from
_implicit_header = struct.Struct("<HHI").unpack_from
_long_length = struct.Struct("<I").unpack_from
_INTEGER = re.compile(rb" *[+-]?[0-9]{1,9}[ \0]*")


class Unknown(Exception):
    """The walk met something that is left to pydicom; no error."""


class Layout:
    """Where the element headers of a file stand, and what they say.

    Parameters
    ----------
    fixed
        Position and length of each piece that must be the same in another file.
    slots
        Position and length of the values that are wanted, in tag order; length 0 for
        an absent one.
    head
        The file from which this was learnt.
    """

    __slots__ = ("end", "raw", "same", "saying")

    def __init__(
        self,
        fixed: list[tuple[int, int]],
        slots: list[tuple[int, int]],
        head: bytes | memoryview,
    ) -> None:
        check = _picker(fixed)
        values = _picker(slots)
        self.same = check.unpack_from
        self.raw = values.unpack_from
        self.saying = check.unpack_from(head)
        self.end = max(check.size, values.size)


def _picker(pieces: list[tuple[int, int]]) -> struct.Struct:
    """Return a structure that picks `pieces` (ascending) and passes over the rest."""
    form, at = ["<"], 0
    for start, length in pieces:
        if start > at:
            form.append(f"{start - at}x")
        form.append(f"{length}s")
        at = max(at, start + length)
    return struct.Struct("".join(form))


class Walk:
    """One walk over one header; collects what a :class:`Layout` needs.

    Parameters
    ----------
    head
        The file, or its first bytes.
    wanted
        The elements whose values are wanted; the walk ends at the last of them.
    """

    def __init__(self, head: bytes | memoryview, wanted: Wanted = OF_IMAGES) -> None:
        self.head = head
        self.size = len(head)
        self._wanted = wanted
        self._last = max(wanted)
        self.fixed: list[tuple[int, int]] = [(128, 4)]
        self.slots: list[tuple[int, int] | None] = [None] * len(wanted)
        self.short = False
        """The file ended within an element."""
        self.syntax = b""
        """Transfer syntax UID, once group 0002 is passed."""
        self.end_of_meta = START

    def layout(self) -> Layout:
        """Walk from the prefix to the last wanted element.

        Raises
        ------
        Unknown
            pydicom must look at the file.
        """
        at, implicit = self.meta()
        self._dataset(at, implicit=implicit)
        spots: list[tuple[int, int]] = []
        end = 0
        for slot in self.slots:
            spot = slot or (end, 0)
            spots.append(spot)
            end = sum(spot)
        charset = self.slots[0]
        if charset:  # its meaning is part of every other value; it is picked as well
            self._need(sum(charset))
        return Layout(self.fixed, spots, self.head)

    def _need(self, end: int) -> None:
        if end > self.size:
            self.short = True
            raise Unknown

    def meta(self) -> tuple[int, bool]:
        """Pass over group 0002, always explicit; return where it ends and the VR."""
        at, syntax, last = START, b"", 0
        while True:
            self._need(at + 8)
            group, element, vr, length = _explicit_header(self.head, at)
            if group != _META:
                break
            tag = group << 16 | element
            if tag <= last:
                raise Unknown
            last = tag
            size = 8
            if vr in LONG_VRS:
                self._need(at + 12)
                (length,) = _long_length(self.head, at + 8)
                size = 12
            elif vr not in SHORT_VRS:
                raise Unknown
            if length == _UNDEFINED:
                raise Unknown
            if tag == _TRANSFER_SYNTAX:
                self._need(at + size + length)
                syntax = bytes(self.head[at + size : at + size + length])
                self.fixed.append((at, size + length))
            else:
                self.fixed.append((at, size))
            at += size + length
        self.syntax = syntax = syntax.rstrip(b"\0 ")
        self.end_of_meta = at
        if syntax in _ELSEWHERE:
            raise Unknown
        return at, syntax == _IMPLICIT

    def _dataset(self, at: int, *, implicit: bool) -> None:
        """Walk the elements of the dataset up to the last wanted one."""
        last, first = 0x0007FFFF, True
        while True:
            if at == self.size:  # the file ends with the element before
                raise Unknown
            tag, vr, size, length = self._header(at, implicit=implicit)
            if first:
                self._check_way(at, implicit=implicit)
                first = False
            if tag <= last:
                raise Unknown
            last = tag
            self.fixed.append((at, size))
            if tag > self._last:
                return
            at += size
            wanted = self._wanted.get(tag)
            if wanted and wanted[1]:
                if length == _UNDEFINED or not (implicit or vr == wanted[1]):
                    raise Unknown
                self._need(at + length)
                self.slots[wanted[0]] = (at, length)
                if tag == self._last:
                    return
            after = self._after(at, vr, length, implicit=implicit, deep=0)
            if wanted and not wanted[1]:
                self._need(after)
                self.slots[wanted[0]] = (at, min(after - at, _LONGEST_PERSONAL))
            at = after

    def _check_way(self, at: int, *, implicit: bool) -> None:
        """Raise if the first element looks as if its VR were explicit all the same."""
        # A file may be written in the other way than it says; pydicom finds that out.
        letters = bytes(self.head[at + 4 : at + 6])
        if implicit and letters.isalpha() and letters.isupper():
            raise Unknown

    def _header(self, at: int, *, implicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty if implicit), header size and value length."""
        self._need(at + 8)
        if implicit:
            group, element, length = _implicit_header(self.head, at)
            return group << 16 | element, b"", 8, length
        group, element, vr, length = _explicit_header(self.head, at)
        if vr in SHORT_VRS:
            return group << 16 | element, vr, 8, length
        if vr not in LONG_VRS:
            raise Unknown
        self._need(at + 12)
        return group << 16 | element, vr, 12, _long_length(self.head, at + 8)[0]

    def _after(self, at: int, vr: bytes, length: int, *, implicit: bool, deep: int) -> int:
        """Return where the value that begins at `at` ends."""
        if length != _UNDEFINED:
            return at + length
        if deep > _DEEPEST or vr not in (b"SQ", b"UN", b""):
            raise Unknown
        # PS3.5, section 6.2.2: UN of undefined length is a sequence in implicit VR.
        implicit = implicit or vr == b"UN"
        while True:  # items, PS3.5, section 7.5
            self._need(at + 8)
            group, element, length = _implicit_header(self.head, at)
            tag = group << 16 | element
            self.fixed.append((at, 8))
            at += 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise Unknown
            if length != _UNDEFINED:
                at += length
            else:
                at = self._item(at, implicit=implicit, deep=deep + 1)

    def _item(self, at: int, *, implicit: bool, deep: int) -> int:
        """Return where the item of undefined length that begins at `at` ends."""
        while True:
            self._need(at + 8)
            group, element, _ = _implicit_header(self.head, at)
            if group << 16 | element == _ITEM_END:
                self.fixed.append((at, 8))
                return at + 8
            if group == _ITEM >> 16:
                raise Unknown
            letters = bytes(self.head[at + 4 : at + 6])
            if not implicit and not (letters in SHORT_VRS or letters in LONG_VRS):
                raise Unknown
            _, vr, size, length = self._header(at, implicit=implicit)
            self.fixed.append((at, size))
            at = self._after(at + size, vr, length, implicit=implicit, deep=deep)


class NeedMore(Exception):
    """More of the file is needed to read its tags; no error, but a request."""


class Layouts:
    """The layouts of the last files, which spare the next one its walk.

    Parameters
    ----------
    wanted
        The elements whose values are wanted.
    """

    KEPT = 12
    """Layouts kept: a series seldom has more than a handful."""

    def __init__(self, wanted: Wanted = OF_IMAGES) -> None:
        self._wanted = wanted
        self._layouts: list[Layout] = []

    def __len__(self) -> int:
        return len(self._layouts)

    def locate(self, head: bytes | memoryview, *, whole: bool) -> tuple[bytes, ...] | None:
        """Return the raw values of what is wanted, in tag order; None: not known here.

        Raises
        ------
        NeedMore
            `head` does not reach far enough, and more can be had (it is not `whole`).
        """
        for number, layout in enumerate(self._layouts):
            if len(head) >= layout.end and layout.same(head) == layout.saying:
                if number:
                    self._layouts.insert(0, self._layouts.pop(number))
                return layout.raw(head)
        if head[128:START] != PREFIX:
            return None
        walk = Walk(head, self._wanted)
        try:
            layout = walk.layout()
        except Unknown:
            if walk.short and not whole:
                raise NeedMore from None
            return None
        self._layouts.insert(0, layout)
        del self._layouts[self.KEPT :]
        return layout.raw(head)


def plain(raw: tuple[bytes, ...]) -> Tags | None:
    """Return the tags whose raw values are `raw`, or None if pydicom must decode them.

    Parameters
    ----------
    raw
        The values of a :class:`Layout`, as in the file.
    """
    if raw[0].rstrip(b"\0 ") not in _ASCII_SETS:
        return None
    tags: Tags = dict.fromkeys(NAMES, "")
    for slot, name in _NAME_OF_SLOT.items():
        value = raw[slot]
        if not value:
            continue
        if not value.isascii() or b"\\" in value or b"\x1b" in value:
            return None
        if name != "SeriesNumber":
            tags[name] = value.decode("ascii").rstrip("\0 ")
        elif _INTEGER.fullmatch(value):
            tags[name] = int(value.rstrip(b"\0 "))
        else:
            return None
    return tags
