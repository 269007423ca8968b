"""Which study a DICOM file belongs to, and when it was taken."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dicom import dicom, element

from icfqueue.demo.visits import shipped
from icfqueue.tarball.dicom_study import Study, StudyReader, time_of
from icfqueue.tarball.dicom_tags import HEAD_LIMIT, TagReader
from icfqueue.tarball.dicom_walk import NeedMore

DAY = 1_398_384_000  # 2014-04-25
NOON = DAY + 12 * 3600

STUDY_DATE = element(0x00080020, b"DA", b"20140425")
STUDY_TIME = element(0x00080030, b"TM", b"120000")
UID = element(0x0020000D, b"UI", b"1.2.3\0")


def read(content: bytes) -> Study | None:
    return StudyReader().read(content, whole=True)


def test_a_file_says_its_study_and_when_that_began() -> None:
    assert read(dicom(STUDY_DATE, STUDY_TIME, UID)) == Study("1.2.3", NOON)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("20140425", "120000.5", "20150101", "000000", ""), NOON),
        (("2014.04.25", "12:00:00", "", "", ""), NOON),
        (("20140425", "12", "", "", ""), NOON),
        (("20140425", "1200", "", "", ""), NOON),
        (("20140425", "115960", "", "", ""), NOON),  # a leap second
        # A study without a time is dated by the acquisition,
        (("20140425", "", "20140425", "120000", ""), NOON),
        (("", "", "", "", "20140425120000.123456+0200"), NOON),
        # and by its day alone if nothing says more.
        (("20140425", "", "", "", ""), DAY),
        (("20140425", "noon", "", "", ""), DAY),
        (("", "120000", "20140425", "", ""), DAY),
        (("", "", "", "", "20140425"), DAY),
        (("19691231", "120000", "", "", ""), None),
        (("20140431", "120000", "", "", ""), None),
        (("20141301", "120000", "", "", ""), None),
        (("20140425-20140426", "120000", "", "", ""), None),
        (("20140425", "250000", "", "", ""), DAY),
        (("", "", "", "", ""), None),
    ],
)
def test_a_study_is_dated_by_itself_else_by_the_acquisition(
    values: tuple[str, str, str, str, str], wanted: int | None
) -> None:
    assert time_of(*values) == wanted


@given(seconds=st.integers(0, 253_402_300_799))
def test_no_time_zone_has_a_say(seconds: int) -> None:
    """What a scanner's clock showed counts as UTC, here and everywhere."""
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    assert time_of(f"{when:%Y%m%d}", f"{when:%H%M%S}", "", "", "") == seconds


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.name)
def test_every_shipped_file_is_read_as_by_pydicom(file: Path) -> None:
    """Whether it is DICOM is the same as in the index, and so is the study as pydicom's."""
    content = file.read_bytes()[:HEAD_LIMIT]
    found = read(content)
    assert (found is None) == (TagReader().read(content) is None)
    if found is None or not pydicom.misc.is_dicom(file):
        return
    try:
        uid = str(
            pydicom.dcmread(file, stop_before_pixels=True).get("StudyInstanceUID", "")
        )
    except Exception:  # noqa: BLE001 - the damaged ones among them
        return
    assert found.uid == uid


def test_more_of_a_file_is_asked_for_until_its_study_was_read() -> None:
    content = dicom(STUDY_DATE, element(0x00091010, b"UN", bytes(5000)), UID)
    reader = StudyReader()
    with pytest.raises(NeedMore):
        reader.read(content[:4096], whole=False)
    assert reader.read(content, whole=False) == Study("1.2.3", DAY)
    assert reader.read(content[:4096], whole=True) == Study("", DAY)


def test_text_is_no_dicom() -> None:
    assert StudyReader().read(b"a text, and no more of it", whole=False) is None
