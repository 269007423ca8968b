"""A generated series whose headers are as long and as varied as those of a real one.

Its elements are from pydicom's public and private dictionaries, its values are invented.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

SOURCE = "dicomdirtests/98892003/MR1"
"""Small MR files among those that pydicom ships."""

SEED = 20130717
SLICES = 35
"""Images of one volume: files with the same time and at different places."""

SIDE_OF_IMAGE = 80
"""Pixels, of two bytes each."""

UID_ROOT = "1.2.826.0.1.3680043.8.498"
"""pydicom's own."""

STANDARD = {8: 34, 0x10: 13, 0x18: 45, 0x20: 15, 0x28: 12, 0x32: 5, 0x38: 2, 0x40: 31}
"""Elements of each standard group, sequences included, as in the real files."""

PRIVATE = (
    (0x2001, "Philips Imaging DD 001", 70),
    (0x2005, "Philips MR Imaging DD 001", 84),
    (0x2005, "Philips MR Imaging DD 002", 10),
    (0x2005, "Philips MR Imaging DD 004", 30),
    (0x2005, "Philips MR Imaging DD 005", 40),
)
"""Group, creator and elements of each private block, about as in the real files."""

NESTED = (
    (0x0008_1111, 1, 0x0008_0012, 9),
    (0x0008_1140, 3, 0x0008_1150, 2),
    (0x0040_0260, 1, 0x0008_0100, 4),
    (0x0040_9096, 1, 0x0040_9000, 4),
    (0x2001_105F, 1, 0x0018_9300, 22),
    (0x2005_130F, 1, 0x0018_9004, 95),
)
"""Tag of each sequence, its items, and the first tag and elements of each of them."""

VALUES: dict[str, Callable[[random.Random], Any]] = {
    "AE": lambda _: "SCANNER",
    "AS": lambda _: "030Y",
    "CS": lambda rng: rng.choice(("N", "NO", "YES", "NONE", "UNKNOWN", "IMAGE", "")),
    "DA": lambda _: "20130717",
    "DS": lambda rng: f"{rng.uniform(10, 99):.3f}",
    "DT": lambda _: "20130717",
    "FD": lambda rng: rng.uniform(0, 99),
    "FL": lambda rng: rng.uniform(0, 99),
    "IS": lambda rng: str(rng.randrange(999)),
    "LO": lambda rng: rng.choice(("", "", "", "generated text")),
    "LT": lambda _: "",
    "PN": lambda _: "",
    "SH": lambda rng: rng.choice(("", "", "generated")),
    "SL": lambda rng: rng.randrange(9999),
    "SS": lambda rng: rng.randrange(999),
    "ST": lambda _: "",
    "TM": lambda _: "101530",
    "UI": lambda rng: f"{UID_ROOT}.{rng.randrange(9)}",
    "UL": lambda rng: rng.randrange(9999),
    "US": lambda rng: rng.randrange(999),
}
"""An invented value for each VR that the real headers have; about a sixth is empty."""


def series(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield one run in one folder, in the order of names, which is not that of images.

    Parameters
    ----------
    count
        How many images.
    """
    rng = random.Random(SEED)
    pixels = 2 * SIDE_OF_IMAGE**2
    pieces, meta = _pieces(_long_header(rng))
    noise = rng.randbytes(pixels + 2 * count)
    order = list(range(count))
    rng.shuffle(order)
    for place, number in enumerate(order):
        parts = [pieces[0]]
        for field, piece in zip(_varying(number, meta), pieces[1:], strict=True):
            parts += [_element(*field), piece]
        parts += [_HEAD_OF_PIXELS, noise[2 * number : 2 * number + pixels]]
        name = f"study_1_functional/MR.{UID_ROOT}.{10**24 + place}"
        yield name, b"".join(parts)


_HEAD_OF_PIXELS = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 2 * SIDE_OF_IMAGE**2)


def _varying(number: int, meta: int = 0) -> list[tuple[int, str, str | int]]:
    """Return tag, VR and value of what differs from file to file, in order of tags.

    Parameters
    ----------
    meta
        Bytes of the meta elements, without the UID of the file.
    """
    volume, place = divmod(number, SLICES)
    seconds = 2 * volume
    uid = f"{UID_ROOT}.{10**32 + SEED}.{number}"
    taken = f"10{15 + seconds // 60}{seconds % 60:02}.5"
    return [
        (0x0002_0000, "UL", meta + len(uid) + len(uid) % 2),
        (0x0002_0003, "UI", uid),
        (0x0008_0013, "TM", f"{taken}{place:02}"),
        (0x0008_0018, "UI", uid),
        (0x0008_0032, "TM", taken),
        (0x0018_1060, "DS", str(seconds * 1000)),
        (0x0020_0013, "IS", str(number + 1)),
        (0x0020_0032, "DS", f"-118.25\\-{112 - place / 4:.11f}\\{3.3 * place - 40:.12f}"),
        (0x0020_0100, "IS", str(volume + 1)),
        (0x0028_1050, "DS", f"{700 + number % 300 * 1.5:g}"),
        (0x0028_1051, "DS", f"{1300 + number % 500 * 2.5:g}"),
    ]


def _element(tag: int, vr: str, value: str | int) -> bytes:
    """Return an element as it stands in a file: explicit VR, little endian."""
    if isinstance(value, int):
        raw = value.to_bytes(4, "little")
    else:
        raw = value.encode()
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(raw)) + raw


def _pieces(header: bytes) -> tuple[list[bytes], int]:
    """Cut the header of number 0 at the elements that vary, and leave these out.

    Returns
    -------
    pieces, meta
        What stands before, between and after; what :func:`_varying` takes as `meta`.
    """
    pieces = []
    (meta,) = struct.unpack_from("<I", header, 140)
    meta -= _varying(0)[0][2]
    for field in _varying(0, meta):
        before, found, header = header.partition(_element(*field))
        assert found, field
        pieces.append(before)
    return [*pieces, header], meta


def _long_header(rng: random.Random) -> bytes:
    """Return what stands before the pixels of number 0: more than 500 elements."""
    import pydicom

    from icfqueue.demo.visits import shipped

    made = pydicom.dcmread(shipped(SOURCE)[0], stop_before_pixels=True)
    for group, count in STANDARD.items():
        _fill(made, rng, group << 16, count - len(made.group_dataset(group)))
    for group, creator, count in PRIVATE:
        _fill_private(made, rng, group, creator, count)
    _nest(made, rng)
    made.SeriesDescription, made.ProtocolName = "BOLD run generated", "BOLD generated"
    made.MRAcquisitionType = "2D"
    made.Rows = made.Columns = SIDE_OF_IMAGE
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    for tag, vr, value in _varying(0)[2:]:
        made.add_new(tag, vr, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    out = io.BytesIO()
    made.save_as(out)
    return out.getvalue()


def _fill(dataset: Dataset, rng: random.Random, first: int, count: int) -> None:
    """Add elements of the standard's dictionary, from tag `first` on, in its group."""
    from pydicom.datadict import dictionary_is_retired, dictionary_VR, keyword_dict

    group = range(first, (first | 0xFFFF) + 1)
    for tag in sorted(keyword_dict.values()):
        if count <= 0 or tag not in group or tag in dataset or dictionary_is_retired(tag):
            continue
        if (vr := dictionary_VR(tag)) in VALUES:
            dataset.add_new(tag, vr, VALUES[vr](rng))
            count -= 1


def _fill_private(
    dataset: Dataset, rng: random.Random, group: int, creator: str, count: int
) -> None:
    """Add a private block with elements of pydicom's dictionary of this creator."""
    from pydicom.datadict import private_dictionary_VR

    block = dataset.private_block(group, creator, create=True)
    for offset in range(0x100):
        with suppress(KeyError):
            vr = private_dictionary_VR((group, 0x1000 + offset), creator)
            if count > 0 and vr in VALUES:
                block.add_new(offset, vr, VALUES[vr](rng))
                count -= 1


def _nest(dataset: Dataset, rng: random.Random) -> None:
    """Add sequences, one of them with another one in it.

    They are of undefined length and their items of defined length, as in the real files.
    """
    from pydicom import Dataset

    def add(outer: Dataset, tag: int, count: int, first: int, elements: int) -> None:
        items = [Dataset() for _ in range(count)]
        for item in items:
            _fill(item, rng, first, elements)
        outer.add_new(tag, "SQ", items)
        outer[tag].is_undefined_length = True

    for about in NESTED:
        add(dataset, *about)
    add(dataset[NESTED[-1][0]].value[0], 0x0018_9176, 3, 0x0018_9177, 2)
