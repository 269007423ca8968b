"""What a visit's metadata files say, as little as its page needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from icfqueue.core.errors import NotSeen, PermanentError
from icfqueue.core.visit import Visit
from icfqueue.outputs import metadata_files
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.store.directory import Store
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
    first_path, acquisition, sequence
        Path in the tarball of the first of them, and its MRAcquisitionType and
        PulseSequenceName.
    """

    tags: tuple[Value, ...]
    images: int
    bytes: int
    first_path: str = ""
    acquisition: Value = ""
    sequence: Value = ""


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


def read_summary(store: Store, visit: Visit, *, vouched: bool = False) -> VisitSummary:
    """Return what the visit's metadata files say.

    Parameters
    ----------
    vouched
        They must be there: an earlier step has written them.

    Raises
    ------
    StepError
        They are missing or damaged; NotSeen if a step vouches for them.
    """
    tarball = metadata_files.read_tarball(store, visit)
    if tarball is None:
        error = PermanentError(
            f"no metadata of {visit} in the store directory",
            hint="its first steps make them anew: 'icfqueue run PROJECT VISIT --force'",
            cause="metadata",
        )
        raise NotSeen(error.message) if vouched else error
    return summarize(visit, tarball, metadata_files.read_dicoms(store, visit))


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


@dataclass(slots=True)
class _Sums:
    """Files that share some tags: how many, their bytes, the path of the first."""

    first_path: str
    images: int = 0
    bytes: int = 0


def _alike(dicoms: Iterable[Mapping[str, Any]]) -> dict[_Combination, _Sums]:
    """Return what is summed up of the files of each combination of tags, in tar order.

    A visit has thousands of files and a few dozen combinations: all else is done with
    these.
    """
    found: dict[_Combination, _Sums] = {}
    for entry in dicoms:
        raw = tuple(map(entry.get, NAMES))
        try:
            sums = found.get(raw)
        except TypeError:  # a list, of a tag with several values
            raw = tuple(tuple(one) if isinstance(one, list) else one for one in raw)
            sums = found.get(raw)
        if sums is None:
            sums = found[raw] = _Sums(entry.get("path", ""))
        sums.images += 1
        sums.bytes += entry.get("size", 0)
    return found


def _series(alike: Mapping[_Combination, _Sums]) -> list[Series]:
    places = [NAMES.index(tag) for tag in SERIES_TAGS]
    others = [NAMES.index(tag) for tag in ("MRAcquisitionType", "PulseSequenceName")]
    found: dict[tuple[Value, ...], Series] = {}
    for combination, sums in alike.items():
        tags = tuple(_joined(combination[at]) for at in places)
        known = found.get(tags)
        if known is None:
            acquisition, sequence = (_joined(combination[at]) for at in others)
            found[tags] = Series(
                tags, sums.images, sums.bytes, sums.first_path, acquisition, sequence
            )
        else:
            images, size = known.images + sums.images, known.bytes + sums.bytes
            found[tags] = replace(known, images=images, bytes=size)
    return sorted(found.values(), key=lambda one: [_rank(value) for value in one.tags])


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
