"""The page: whole, alone, and only text where others chose the words."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from icfqueue.reports.pages.page import Links, page
from icfqueue.reports.report import Report
from icfqueue.reports.work import Effort, Failures, Work

NOWHERE = Links(None, {})
WORK = Work(
    {"done": 1, "failed": 2},
    [Effort("v1", 1_000_000, 3.0, 1.8e9)],
    [Failures("cut", 2, "v<2>", "the tarball ends too early", "obtain it again")],
)

VOID = {"meta", "link", "input", "br"}


class Parsed(HTMLParser):
    """Checks that what is opened is closed; keeps ids and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src", "xlink:href", "action"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


@pytest.fixture(scope="module")
def whole(made: Report) -> str:
    return page(replace(made, work=WORK), NOWHERE)


def test_the_page_is_whole_and_needs_no_other_file(whole: str) -> None:
    parsed = Parsed(whole)
    assert all(one.startswith("#") for one in parsed.addresses)
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = {one[1:] for one in parsed.addresses}
    assert inside <= set(parsed.ids)


def test_the_browser_is_told_to_run_this_script_alone(whole: str) -> None:
    script = re.search(r"<script>(.*)</script>", whole, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in whole
    assert "default-src 'none'" in whole
    assert "innerHTML" not in whole


def test_words_of_others_are_text(whole: str) -> None:
    assert "<img" not in whole
    assert "\x1b" not in whole
    assert "v&lt;2&gt;" in whole


def test_it_tells_pattern_differences_failures_and_disk(whole: str) -> None:
    for words in (
        "3 images instead of 5",
        "obtain it again",
        "Usual pattern",
        "Progress over time",
        "Failures by cause",
        "On the disk here",
    ):
        assert words in whole, words


def test_its_head_links_to_every_part_that_is_there(whole: str, made: Report) -> None:
    for text in (whole, page(made, NOWHERE)):
        links = [one[1:] for one in Parsed(text).addresses if one.startswith("#")]
        sections = re.findall('<section id="([^"]+)"', text)
        assert [link for link in links if link in sections] == sections
    assert 'href="#work"' in whole


def test_without_records_nothing_is_said_of_the_work(made: Report) -> None:
    assert "Progress over time" not in page(made, NOWHERE)


def test_visits_are_linked_to_their_pages(made: Report) -> None:
    links = Links("study_1/catalog/index.html", {"v2": "#/dataset/x/latest"})
    text = page(made, links)
    assert '<a href="study_1/catalog/index.html#/dataset/x/latest">v2</a>' in text
    assert '<a href="study_1/catalog/index.html">Catalog</a>' in text
    # That of a visit without a page is no link.
    assert '<th scope="row">v3</th>' in text


def test_where_all_are_as_usual_that_is_said(made: Report) -> None:
    assert "all visits are as usual" in page(replace(made, differing={}), NOWHERE)
