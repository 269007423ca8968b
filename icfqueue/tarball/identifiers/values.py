"""The values by which a person is known, as text, from the headers of one tarball.

They are held while the tarball is read, and nowhere else: no ``repr``, message or file
has them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final, NamedTuple

from icfqueue.tarball.dicom_walk import OF_IMAGES

NAME, ID, BIRTH_DATE, OTHER_ID, ACCESSION, PATTERN, MANY = KINDS = (
    "name",
    "id",
    "birth-date",
    "other-id",
    "accession",
    "pattern",
    "many",
)
"""Words for what was found; ``pattern`` is one of the site's own, ``many`` more values
than are compared."""

MOST: Final = 500
"""Different values that are compared. A visit has a handful."""

MOST_TAGS: Final = 20_000
"""Different sets of tags that are compared."""

_PERSON_ID = re.compile(rb"\x10\0\x20\0(?:LO(..)|(..)\0\0)", re.DOTALL)
"""Header of PatientID (0010,0020) in an item, explicit or implicit VR little endian."""

_KEYWORDS: Final = {
    ACCESSION: "AccessionNumber",
    NAME: "PatientName",
    ID: "PatientID",
    BIRTH_DATE: "PatientBirthDate",
    OTHER_ID: "OtherPatientIDs",
}
SEQUENCE: Final = "OtherPatientIDsSequence"
KEYWORDS: Final = (*_KEYWORDS.values(), SEQUENCE)
"""DICOM's names of the elements."""


class Personal(NamedTuple):
    """What tells who a person is, as it stands in a file; empty where it is absent."""

    charset: bytes
    accession: bytes
    name: bytes
    id: bytes
    birth_date: bytes
    other_ids: bytes
    other_ids_sequence: bytes


_personal = itemgetter(0, *(slot for slot, vr in OF_IMAGES.values() if not vr))


def personal(raw: tuple[bytes, ...]) -> Personal:
    """Return what tells who a person is of the raw values that a walk has picked."""
    return Personal(*_personal(raw))


class Values:
    """Collects values and published tags while headers are read.

    Attributes
    ----------
    found
        Kind and text of each value, without doublets.
    tags
        The sets of published tags, as :class:`~icfqueue.tarball.dicom_tags.TagReader`
        says them.
    many
        There were more than are compared.
    """

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()
        self.tags: set[str] = set()
        self.many = False
        self._seen: set[Personal] = set()

    def add_tags(self, said: str) -> None:
        """Remember a set of published tags."""
        if len(self.tags) < MOST_TAGS:
            self.tags.add(said)
        elif said not in self.tags:
            self.many = True

    def add_raw(self, raw: Personal) -> None:
        """Remember values as they stand in a file."""
        if raw in self._seen:
            return
        if len(self._seen) >= MOST:
            self.many = True
            return
        self._seen.add(raw)
        self._add(of_raw(raw))

    def add_dataset(self, dataset: Any, read: Callable[[Any, str], Any]) -> None:
        """Remember values of a file that pydicom has read.

        Parameters
        ----------
        read
            Returns the value of an element by its name, as JSON has it.
        """
        self._add(_of_dataset(dataset, read))

    def _add(self, values: Iterator[tuple[str, str]]) -> None:
        for kind, text in values:
            if len(self.found) >= MOST and (kind, text) not in self.found:
                self.many = True
                return
            self.found.add((kind, text))


def of_raw(raw: Personal) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each value; one that can be read in two ways, twice."""
    for text in _texts(raw.name, raw.charset, person=True):
        yield NAME, text
    for kind, value in (
        (ACCESSION, raw.accession),
        (ID, raw.id),
        (BIRTH_DATE, raw.birth_date),
        (OTHER_ID, raw.other_ids),
    ):
        for text in _texts(value, raw.charset):
            for one in text.split("\\"):
                yield kind, one
    for found in _PERSON_ID.finditer(raw.other_ids_sequence):
        size = int.from_bytes(found[1] or found[2], "little")
        value = raw.other_ids_sequence[found.end() : found.end() + size]
        for text in _texts(value, raw.charset):
            yield OTHER_ID, text


def _texts(value: bytes, charset: bytes, *, person: bool = False) -> list[str]:
    """Return what `value` may mean: by the character set that is declared, and as UTF-8.

    Many files have UTF-8 and declare another set, or none.
    """
    value = value.strip(b"\0 ")
    if not value:
        return []
    if value.isascii() and b"\x1b" not in value:
        return [value.decode("ascii")]
    found = [_declared(value, charset, person=person)]
    try:
        found.append(value.decode("utf-8"))
    except UnicodeDecodeError:
        found.append(value.decode("latin-1"))
    return list(dict.fromkeys(found))


_COMMON_SETS: Final = {b"ISO_IR 100": "latin-1", b"ISO_IR 192": "utf-8"}
"""Read without pydicom, whose import takes longer than most visits."""


def _declared(value: bytes, charset: bytes, *, person: bool) -> str:
    """Return `value` by its SpecificCharacterSet (PS3.3, section C.12.1.1.2)."""
    if codec := _COMMON_SETS.get(charset.strip(b"\0 ")):
        with suppress(UnicodeDecodeError):
            return value.decode(codec)
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

    sets = charset.strip(b"\0 ").decode("latin-1").split("\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encodings = convert_encodings([one.strip() for one in sets])
            if person:
                return str(PersonName(value, encodings))
            return decode_bytes(value, encodings, TEXT_VR_DELIMS)
        except Exception:  # noqa: BLE001 - on damaged values; their words have the value
            return value.decode("latin-1")


def _of_dataset(dataset: Any, read: Callable[[Any, str], Any]) -> Iterator[tuple[str, str]]:
    for kind, keyword in _KEYWORDS.items():
        for text in _listed(read(dataset, keyword)):
            yield kind, text
    try:
        items = list(dataset.get(SEQUENCE) or ())
    except Exception:  # noqa: BLE001 - a sequence that pydicom cannot read
        return
    for item in items:
        for text in _listed(read(item, _KEYWORDS[ID])):
            yield OTHER_ID, text


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one) for one in values if one != ""]
