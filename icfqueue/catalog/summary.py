"""What a visit's metadata files say, as little as its page needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icfqueue.core.visit import Visit
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.tarball.dicom_tags import NAMES

KEYWORD_TAGS = ("ProtocolName", "Modality")
"""Tags whose values become keywords, by which the study page can be filtered."""

SERIES_TAGS = ("SeriesNumber", "SeriesDescription", "ProtocolName", "Modality")
"""Tags that tell the series of a visit apart; the columns of its table begin with them."""

MAX_KEYWORDS = 100
"""Keywords of one visit; they are kept on the study page, which grows with visits."""

MAX_LENGTH = 256
"""Characters of a value that are shown; DICOM's LO and SH have at most 64 (PS3.5)."""

_SAFE_INTEGER = 2**53 - 1
"""Largest whole number that JavaScript keeps exactly."""

Value = str | int


@dataclass(frozen=True, slots=True)
class Series:
    """The files of a visit that share all of :data:`SERIES_TAGS`.

    Attributes
    ----------
    tags
        Their values; ``""`` is an absent one.
    images, bytes
        How many files, and their sizes together.
    """

    tags: tuple[Value, ...]
    images: int
    bytes: int


@dataclass(frozen=True, slots=True)
class VisitSummary:
    """The content of a visit's page.

    Attributes
    ----------
    tarball
        What is published on the visit's tarball.
    dicoms
        Number of DICOM files in it.
    values
        For each of :data:`~icfqueue.tarball.dicom_tags.NAMES` its distinct values, sorted,
        numbers first.
    series
        By number, description and so on; numbers first.
    """

    visit: Visit
    tarball: TarballMeta
    dicoms: int
    values: Mapping[str, Sequence[Value]]
    series: Sequence[Series]

    @property
    def keywords(self) -> list[str]:
        """Distinct values of :data:`KEYWORD_TAGS`."""
        found = dict.fromkeys(
            str(value) for tag in KEYWORD_TAGS for value in self.values[tag]
        )
        return list(found)[:MAX_KEYWORDS]


def summarize(
    visit: Visit, tarball: TarballMeta, dicoms: Sequence[Mapping[str, Any]]
) -> VisitSummary:
    """Return the summary of a visit.

    Parameters
    ----------
    tarball
        The content of ``…_metadata_tarball.json``.
    dicoms
        The entries of ``…_metadata_dicoms.json``. A tag is a string, a number or, with
        several values, a list of these; ``""`` is an absent one.
    """
    alike = _alike(dicoms)
    values = {
        tag: _distinct(combination[place] for combination in alike)
        for place, tag in enumerate(NAMES)
    }
    return VisitSummary(visit, tarball, len(dicoms), values, _series(alike))


_Combination = tuple[Any, ...]
"""Values of all of :data:`NAMES`; several values of one tag are a tuple."""


def _alike(dicoms: Iterable[Mapping[str, Any]]) -> dict[_Combination, list[int]]:
    """Return number and bytes of the files of each combination of tags.

    A visit has thousands of files and a few dozen combinations: all else is done with
    these.
    """
    found: dict[_Combination, list[int]] = {}
    for entry in dicoms:
        raw = tuple(map(entry.get, NAMES))
        try:
            sums = found.get(raw)
        except TypeError:  # a list, of a tag with several values
            raw = tuple(tuple(one) if isinstance(one, list) else one for one in raw)
            sums = found.get(raw)
        if sums is None:
            sums = found[raw] = [0, 0]
        sums[0] += 1
        sums[1] += entry.get("size", 0)
    return found


def _series(alike: Mapping[_Combination, Sequence[int]]) -> list[Series]:
    places = [NAMES.index(tag) for tag in SERIES_TAGS]
    found: dict[tuple[Value, ...], list[int]] = {}
    for combination, (images, size) in alike.items():
        sums = found.setdefault(tuple(_joined(combination[at]) for at in places), [0, 0])
        sums[0] += images
        sums[1] += size
    made = [Series(tags, images, size) for tags, (images, size) in found.items()]
    return sorted(made, key=lambda one: [_rank(value) for value in one.tags])


def _joined(raw: Any) -> Value:
    """Return one value of `raw`: as DICOM writes several (PS3.5, 6.2)."""
    if isinstance(raw, tuple):
        return _shown("\\".join(str(_shown(one)) for one in raw))
    return _shown(raw)


def _rank(value: Value) -> tuple[bool, Value]:
    return isinstance(value, str), value


def _distinct(raw: Iterable[Any]) -> list[Value]:
    found: set[Value] = set()
    for value in raw:
        for single in value if isinstance(value, tuple) else (value,):
            shown = _shown(single)
            if shown != "":
                found.add(shown)
    return sorted(found, key=_rank)


def _shown(value: Any) -> Value:
    """Return `value` as the browser can show it exactly."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    text = str(value).strip()
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
