"""The six DICOM tags by which a visit's images are described.

The header of most files is read by a walk (:mod:`icfqueue.tarball.dicom_walk`) that stops
at the last of the six; what the walk does not know is read by pydicom, which is the
reference: both give the same values. pydicom is imported when it is first needed.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from icfqueue.tarball.dicom_walk import (
    DEFLATED,
    LONG_VRS,
    NAMES,
    PREFIX,
    SHORT_VRS,
    START,
    Layouts,
    NeedMore,
    Tags,
    Unknown,
    Walk,
    plain,
)
from icfqueue.tarball.identifiers.values import KEYWORDS, Values, personal

__all__ = ["HEAD_ENOUGH", "HEAD_LIMIT", "NAMES", "NeedMore", "TagReader", "read", "scan"]

HEAD_ENOUGH: Final = 256 << 10
"""Bytes from which nearly every header can be read to the last of the six tags."""

HEAD_LIMIT: Final = 16 << 20
"""Bytes of one file that are ever looked at; a longer header counts as cut there."""

INFLATED_LIMIT: Final = 4 << 20
"""The same for a deflated file, once inflated."""

_SHORTEST = 16
"""Bytes of the shortest file without the prefix that is looked at."""

_HIGHEST_0008 = 0x2300
"""Above the elements with which a dataset can begin."""

_EXPLICIT = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
"""The element that says: explicit VR little endian."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


class TagReader:
    """Reads the tags of one file after the other; knows the layouts of the last ones.

    Parameters
    ----------
    values
        Gets the tags, and the values by which a person is known, if that is wanted.
    """

    REMEMBERED = 4096
    """Value sets kept; a visit has about as many as it has series."""

    def __init__(self, values: Values | None = None) -> None:
        self._values = values
        self._layouts = Layouts()
        self._said: dict[tuple[bytes, ...], str] = {}

    def read(self, head: bytes | memoryview, *, whole: bool = True) -> str | None:
        """Return the tags of a file as the end of a JSON object.

        Parameters
        ----------
        head
            The file, or its first bytes.
        whole
            False if more of the file can be had.

        Returns
        -------
        str or None
            ``"SeriesDescription": …, "PulseSequenceName": …}``; None if the file is not
            DICOM.

        Raises
        ------
        NeedMore
            `head` does not reach far enough.
        """
        raw = self._layouts.locate(head, whole=whole)
        if raw is None:
            return self._elsewhere(head, whole=whole)
        said = self._said.get(raw)
        if said is None:
            tags = plain(raw)
            said = _json(tags) if tags else self._elsewhere(head, whole=whole)
            if said is None:
                return None
            if len(self._said) >= self.REMEMBERED:
                self._said.clear()
            self._said[raw] = said
            if self._values is not None:
                self._values.add_raw(personal(raw))
                self._values.add_tags(said)
        return said

    def _elsewhere(self, head: bytes | memoryview, *, whole: bool) -> str | None:
        if not plausible(head):
            return None
        if not whole:
            raise NeedMore
        tags = by_pydicom(bytes(head), values=self._values)
        if tags is None:
            return None
        said = _json(tags)
        if self._values is not None:
            self._values.add_tags(said)
        return said


def scan(head: bytes | memoryview) -> Tags | None:
    """Return the six tags by the walk alone; None if pydicom must look at the file."""
    if head[128:START] != PREFIX:
        return None
    try:
        layout = Walk(head).layout()
    except Unknown:
        return None
    return plain(layout.raw(head))


def read(content: bytes) -> Tags | None:
    """Return the six tags of the file `content`; None if it is not DICOM."""
    said = TagReader().read(content)
    return None if said is None else json.loads("{" + said)


def _json(tags: Tags) -> str:
    return json.dumps(tags)[1:]


def plausible(head: bytes | memoryview) -> bool:
    """Tell whether a file with these first bytes may be DICOM at all.

    It is if it has the prefix. Without one (PS3.10 demands it, old archives lack it), it
    must begin with an element of group 0002 or 0008 that has a known VR or, in implicit
    VR, a length that the file can hold.
    """
    if head[128:START] == PREFIX:
        return True
    if len(head) < _SHORTEST:
        return False
    for order in "<>":
        group, element, vr, _ = struct.unpack_from(f"{order}HH2sH", head)
        if group not in (2, 8):
            continue
        if vr in SHORT_VRS or vr in LONG_VRS:
            return True
        (length,) = struct.unpack_from("<I", head, 4)
        if order == "<" and element < _HIGHEST_0008 and length <= min(len(head), 1024):
            return True
    return False


def by_pydicom(
    content: bytes, more: Sequence[str] = (), *, values: Values | None = None
) -> Tags | None:
    """Return the six tags, and `more`, as pydicom reads them; None: it is not DICOM.

    A file with the prefix is DICOM even if its header is damaged: it then has the tags
    that could be read. A file without it must yield a SOP class or one of the tags.

    Parameters
    ----------
    values
        Gets the values by which a person is known, if that is wanted.
    """
    import io
    import logging
    import warnings

    import pydicom
    from pydicom import config

    # Its messages quote values of the file.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    prefixed = content[128:START] == PREFIX
    content = inflated(content)
    people = () if values is None else KEYWORDS
    wanted: list[Any] = [*NAMES, *more, *people, "SOPClassUID"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(
                io.BytesIO(content),
                stop_before_pixels=True,
                specific_tags=wanted,
                force=not prefixed,
            )
        except Exception:  # noqa: BLE001 - pydicom raises all sorts on damaged files
            return _salvage(content, values) if prefixed else None
        with config.disable_value_validation():
            tags = {name: _value(found, name) for name in (*NAMES, *more)}
            sop_class = _value(found, "SOPClassUID")
            if values is not None:
                values.add_dataset(found, _value)
    if prefixed or any(tags[name] != "" for name in NAMES):
        return tags
    return tags if isinstance(sop_class, str) and _UID.fullmatch(sop_class) else None


def inflated(content: bytes) -> bytes:
    """Return a deflated file (PS3.5, section A.5) as a plain one, others as they are.

    pydicom would inflate all of it, and a megabyte can grow to a thousand; the tags are
    at the beginning.
    """
    walk = Walk(content)
    with suppress(Unknown):
        walk.meta()
    if walk.syntax != DEFLATED:
        return content
    try:
        body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(
            content[walk.end_of_meta :], INFLATED_LIMIT
        )
    except zlib.error:
        return content
    return bytes(128) + PREFIX + _EXPLICIT + body


def _salvage(content: bytes, values: Values | None) -> Tags:
    """Return what the walk found before the damage that pydicom cannot pass."""
    walk = Walk(content)
    with suppress(Unknown):
        walk.layout()
    raw = tuple(content[slot[0] : sum(slot)] if slot else b"" for slot in walk.slots)
    if values is not None:
        values.add_raw(personal(raw))
    return plain(raw) or dict.fromkeys(NAMES, "")


def _value(found: Any, name: str) -> Any:
    """Return the value of one element as JSON has it."""
    try:
        return _jsonable(getattr(found, name, ""))
    except Exception:  # noqa: BLE001 - a value that pydicom cannot convert
        return _raw_text(found, name)


def _jsonable(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").rstrip("\0 ")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):  # a number of a series that is no integer
        return str(getattr(value, "original_string", value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_jsonable(one) for one in value]
    return str(value)


def _raw_text(found: Any, name: str) -> str:
    """Return the bytes of an element whose value cannot be converted, as text."""
    from pydicom.datadict import tag_for_keyword

    try:
        value = found.get_item(tag_for_keyword(name)).value
    except Exception:  # noqa: BLE001 - pydicom may fail on a raw value, too
        return ""
    return value.decode("latin-1").strip("\0 ") if isinstance(value, bytes) else ""
