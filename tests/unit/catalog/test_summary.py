"""What a page needs of a visit's metadata: distinct values, and series."""

from __future__ import annotations

from typing import Any

from support.metadata import tarball_of

from icfqueue.catalog import summary
from icfqueue.catalog.summary import Series, VisitSummary
from icfqueue.core.visit import Visit

V = Visit("p", "v")


def summarize(files: list[dict[str, Any]]) -> VisitSummary:
    return summary.summarize(V, tarball_of(V), files)


def test_values_are_distinct_sorted_and_flat() -> None:
    raw: list[dict[str, Any]] = [
        {"SeriesNumber": 10},
        {"SeriesNumber": 9},
        {"SeriesNumber": ""},
        {"SeriesNumber": [9, "x"]},
        {"SeriesNumber": None},
        {"SeriesNumber": float("nan")},
        {"SeriesNumber": 2**60},
        {"SeriesNumber": " "},
        {},
    ]
    found = summarize(raw).values["SeriesNumber"]
    assert found == [9, 10, str(2**60), "nan", "x"]


def test_length_of_a_shown_value_is_limited() -> None:
    told = summarize([{"ProtocolName": "x" * 9999}])
    assert told.values["ProtocolName"] == ["x" * summary.MAX_LENGTH + "…"]
    assert told.series[0].tags[2] == "x" * summary.MAX_LENGTH + "…"


def test_keywords_are_the_values_of_two_tags_and_limited() -> None:
    told = summarize([{"ProtocolName": "t1", "Modality": "MR"}, {"Modality": "SR"}])
    assert told.keywords == ["t1", "MR", "SR"]
    many = summarize([{"ProtocolName": str(number)} for number in range(2000)])
    assert len(many.keywords) == summary.MAX_KEYWORDS


def test_series_are_told_apart_by_four_tags_and_summed_up() -> None:
    t1 = {"SeriesNumber": 2, "SeriesDescription": "t1", "Modality": "MR"}
    files = [
        {"SeriesNumber": "", "size": 1},
        {**t1, "size": 10},
        {"SeriesNumber": 10, "size": 5},
        # Another series although the number is the same; not so the other two tags.
        {**t1, "ProtocolName": "p", "size": 7},
        {**t1, "PulseSequenceName": "s", "MRAcquisitionType": "3D", "size": 100},
    ]
    told = summarize(files)
    assert told.dicoms == 5
    assert told.series == [
        Series((2, "t1", "", "MR"), 2, 110),
        Series((2, "t1", "p", "MR"), 1, 7),
        Series((10, "", "", ""), 1, 5),
        Series(("", "", "", ""), 1, 1),
    ]


def test_several_values_of_a_tag_are_one_series_and_several_values() -> None:
    told = summarize([{"ProtocolName": ["a", "b"], "size": 1}] * 2)
    assert [(one.tags[2], one.images) for one in told.series] == [("a\\b", 2)]
    assert told.values["ProtocolName"] == ["a", "b"]


def test_each_file_is_looked_at_once_whatever_is_told_of_it() -> None:
    """5,000 files with a few combinations of tags: all else is done with these."""

    class Counted(dict[str, Any]):
        asked = 0

        def get(self, key: str, default: Any = None) -> Any:
            Counted.asked += 1
            return super().get(key, default)

    files: list[dict[str, Any]] = [
        Counted(SeriesNumber=number % 7, size=1) for number in range(5000)
    ]
    told = summarize(files)
    assert len(told.series) == 7
    # And once for the path of the first of each.
    assert len(files) <= Counted.asked <= 7 * len(files) + 7
