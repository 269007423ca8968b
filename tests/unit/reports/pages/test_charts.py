"""The charts: SVG that stands in a page, and a sentence that says the same."""

from __future__ import annotations

import functools
import importlib.util
import re
from xml.etree import ElementTree as ET

import pytest

from icfqueue.core.errors import UsageError
from icfqueue.reports.disk import Taken
from icfqueue.reports.pages import charts
from icfqueue.reports.work import Effort, Failures

EFFORTS = [Effort(f"v{n}", 10_000_000 * n, 3.0 * n, 1.8e9 + 60 * n) for n in range(1, 30)]
GROUPS = [Failures("cut", 37, "v1", "", ""), Failures("gzip", 2, "v2", "", "")]
HERE = [Taken("tarballs", 9, 5_000_000_000), Taken("deposits", 18, 90_000)]

DRAWN = {
    "time": lambda: charts.over_time(EFFORTS),
    "duration": lambda: charts.duration(EFFORTS),
    "rate": lambda: charts.rate(EFFORTS),
    "failures": lambda: charts.failures(GROUPS),
    "disk": lambda: charts.disk(HERE, 12_345.0),
    "one visit": lambda: charts.over_time(EFFORTS[:1]),
    "no time at all": lambda: charts.rate([Effort("v", 0, 0.0, 1.8e9)]),
}


@functools.cache
def drawn(name: str) -> charts.Chart:
    return DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_stands_in_any_page_and_asks_for_nothing(name: str) -> None:
    made = drawn(name)
    ET.fromstring(made.svg)
    assert made.svg.startswith('<svg aria-hidden="true"')
    # Text is text, in the color of the page around it.
    assert "<text" in made.svg
    assert "currentColor" in made.svg
    others = re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?([^\"')]+)", made.svg)
    assert all(one.startswith("#") for one in others)


def test_the_same_figures_give_the_same_chart() -> None:
    assert drawn("rate") == DRAWN["rate"]()


def test_ids_of_two_charts_do_not_clash() -> None:
    found = [
        set(re.findall(r' id="([mpc][0-9a-f]{10})"', drawn(name).svg))
        for name in ("duration", "rate")
    ]
    assert found[0]
    assert not found[0] & found[1]


def test_the_sentences_say_what_is_drawn() -> None:
    assert drawn("failures").words == "Visits that failed: 37 cut, 2 gzip."
    assert "5.0 GB of tarballs" in drawn("disk").words
    assert "takes 12.3 kB" in drawn("disk").words
    assert drawn("time").words.startswith("29 visits with 4.3 GB were done from 2027-01-15")


def test_of_very_many_visits_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MOST_POINTS", 10)
    assert "One point for 3 visits" in DRAWN["rate"]().words


def test_without_the_library_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="matplotlib") as caught:
        charts.check_library()
    assert caught.value.hint == "pip install matplotlib"
