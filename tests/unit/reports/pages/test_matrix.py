"""The matrix: a row a visit, a column a protocol, a sign where something differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icfqueue.reports.differences import Kind, differences_of
from icfqueue.reports.pages import matrix as module
from icfqueue.reports.pages.markup import escape
from icfqueue.reports.pages.matrix import SIGNS, columns_of, matrix, usual_images
from icfqueue.reports.pattern import Expected, Scan
from icfqueue.reports.report import Report


def drawn(report: Report) -> str:
    return "".join(matrix(report, escape))


def test_a_difference_has_a_sign_a_word_and_a_color(made: Report) -> None:
    page = drawn(made)
    assert len(set(SIGNS.values())) == len(Kind)
    for kind in (Kind.SHORT, Kind.MISSING, Kind.UNEXPECTED):
        assert f'<td class="{kind}"' in page
        assert SIGNS[kind] in page
        assert f'">{kind} </span>' in page
    # Where nothing else is in a cell, the word is for all to see.
    assert '<span class="word">missing </span> </td>' in page
    assert '<span class="unseen">short </span> 3</td>' in page
    assert 'title="3 images instead of 5"' in page
    assert '<tr data-kinds="short"><th scope="row">v2</th>' in page
    assert '<tr><th scope="row">v1</th><td>5</td>' in page


def test_names_from_a_scanner_are_text(made: Report) -> None:
    page = drawn(made)
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "\x1b" not in page


def test_many_odd_protocols_share_a_column(made: Report) -> None:
    odd = [Scan(f"odd_{n:02}", n, 1) for n in range(20)]
    scans = {**made.scans, "v4": [*made.scans["v4"], *odd]}
    told = {**made.differing, "v4": differences_of(scans["v4"], made.pattern)}
    report = replace(made, scans=scans, differing=told)
    columns = columns_of(report)
    assert columns.own[0] == "T1w"
    assert len(columns.own) == 1 + module.MOST_ODD
    assert {"odd_19", "odd_10"} <= columns.others
    assert "<span>others</span>" in drawn(report)


def test_of_very_many_visits_those_that_differ_are_shown(
    made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    page = drawn(made)
    assert page.count("<tr data-kinds") == 2
    assert ">v1<" not in page


def test_the_usual_number_of_images_is_in_words() -> None:
    assert usual_images(Expected((72, None), (72, 18), 9)) == "72 + ≥18"
