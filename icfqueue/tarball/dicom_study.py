"""Which study a DICOM file belongs to, and when that was taken.

By the same walk as the six tags (:mod:`icfqueue.tarball.dicom_walk`) and, for what that
does not know, by pydicom. The values decide here and are shown to nobody.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from icfqueue.tarball.dicom_tags import by_pydicom, plausible
from icfqueue.tarball.dicom_walk import CHARSET, Layouts, NeedMore, Unknown, Walk, Wanted

_NAMES = (
    "StudyDate",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "StudyTime",
    "AcquisitionTime",
    "StudyInstanceUID",
)
"""In tag order."""

_WANTED: Final[Wanted] = {
    CHARSET: (0, b"CS"),
    0x00080020: (1, b"DA"),
    0x00080022: (2, b"DA"),
    0x0008002A: (3, b"DT"),
    0x00080030: (4, b"TM"),
    0x00080032: (5, b"TM"),
    0x0020000D: (6, b"UI"),
}

# PS3.5, section 6.2: the dots and colons are those of its editions before 1993.
_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2})(?:(:?)([0-9]{2})(?:\2([0-9]{2})(?:\.[0-9]*)?)?)?", re.ASCII)
_FIRST_YEAR = 1970
_HOURS, _MINUTES, _SECONDS = 24, 60, 61
"""First values that are no longer allowed; a minute may have a leap second."""


class Study(NamedTuple):
    """What a DICOM file says of its study."""

    uid: str
    """Study Instance UID; empty if there is none."""
    time: int | None
    """Seconds since 1970, as if its clock had shown UTC; None if it says no date."""


class StudyReader:
    """Reads the studies of one file after the other; knows the layouts of the last ones."""

    def __init__(self) -> None:
        self._layouts = Layouts(_WANTED)

    def read(self, head: bytes | memoryview, *, whole: bool) -> Study | None:
        """Return what a file says of its study; None if the file is not DICOM.

        It is DICOM if it is for :class:`icfqueue.tarball.dicom_tags.TagReader`.

        Parameters
        ----------
        head
            The file, or its first bytes.
        whole
            False if more of the file can be had.

        Raises
        ------
        NeedMore
            `head` does not reach far enough.
        """
        raw = self._layouts.locate(head, whole=whole)
        if raw is None:
            if not plausible(head):
                return None
            if not whole:
                raise NeedMore
            return _elsewhere(bytes(head))
        return _study([_text(value) for value in raw[1:]])


def _elsewhere(content: bytes) -> Study | None:
    """Return what pydicom says of a file and, where it gives up, the walk before that."""
    tags = by_pydicom(content, _NAMES)
    if tags is None:
        return None
    if not all(name in tags for name in _NAMES):
        walk = Walk(content, _WANTED)
        with suppress(Unknown):
            walk.layout()
        spots = walk.slots[1:]
        return _study([_text(content[s[0] : sum(s)] if s else b"") for s in spots])
    return _study([str(tags[name]) for name in _NAMES])


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip("\0 ")


def _study(values: Sequence[str]) -> Study:
    """Return the study of a file with these values, in tag order."""
    study_date, date, both, study_time, time, uid = values
    return Study(uid, time_of(study_date, study_time, date, time, both))


def time_of(
    study_date: str, study_time: str, date: str, time: str, both: str
) -> int | None:
    """Return the time at which a study began, or a file of it was taken.

    That of the study if date and time are both said; else that of the acquisition, by its
    two elements or the one that has both; else the beginning of the day that is said.
    Fractions of a second and offsets from UTC are left out.

    Parameters
    ----------
    study_date, study_time
        Of the study (PS3.6: 0008,0020 and 0008,0030).
    date, time, both
        Of the acquisition (0008,0022, 0008,0032 and 0008,002A).

    Returns
    -------
    int or None
        Seconds since 1970 as if the clock had shown UTC; None if no date since then is
        said.
    """
    wholes = ((study_date, study_time), (date, time), (both[:8], both[8:14]))
    for day, clock in wholes:
        found, within = _day(day), _second(clock)
        if found is not None and within is not None:
            return found + within
    return next((found for day, _ in wholes if (found := _day(day)) is not None), None)


def _day(value: str) -> int | None:
    """Return when a day of DICOM (``DA``) begins, in seconds since 1970."""
    found = _DATE.fullmatch(value.strip())
    if found is None:
        return None
    year, month, day = (int(found[part]) for part in (1, 3, 4))
    try:
        longest = calendar.monthrange(year, month)[1]
    except ValueError:
        return None
    if year < _FIRST_YEAR or not 1 <= day <= longest:
        return None
    return calendar.timegm((year, month, day, 0, 0, 0))


def _second(value: str) -> int | None:
    """Return the second of the day that a time of DICOM (``TM``) says."""
    found = _TIME.fullmatch(value.strip())
    if found is None:
        return None
    hour, minute, second = (int(found[part] or 0) for part in (1, 3, 4))
    if hour >= _HOURS or minute >= _MINUTES or second >= _SECONDS:
        return None
    return hour * 3600 + minute * 60 + second
