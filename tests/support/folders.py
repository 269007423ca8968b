"""Folders of DICOM files, as they come from a scanner or an export."""

from __future__ import annotations

import struct
from pathlib import Path

from support.dicom import dicom, element

DAY = 1_398_384_000
"""2014-04-25, in seconds since 1970."""

NOON = DAY + 12 * 3600


def image(
    number: int = 1,
    *,
    uid: bytes = b"1.2.3\0",
    date: bytes = b"20140425",
    time: bytes = b"120000",
    pixels: int = 100,
) -> bytes:
    """Return a small image of a study."""
    return dicom(
        element(0x00080020, b"DA", date),
        element(0x00080030, b"TM", time),
        element(0x00080060, b"CS", b"MR"),
        element(0x0020000D, b"UI", uid),
        element(0x00200011, b"IS", b"3 "),
        element(0x00200013, b"IS", b"%-6d" % number),
        element(0x7FE00010, b"OB", struct.pack("<I", number) * (pixels // 4)),
    )


def make_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write `files` (path below the folder, content) and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
