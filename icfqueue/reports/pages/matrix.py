"""The matrix of a report: visits by protocols, the number of images, and what differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from icfqueue.core.plain_text import shown
from icfqueue.reports.differences import Difference, Kind
from icfqueue.reports.pages.markup import element, escape
from icfqueue.reports.pattern import Expected, by_protocol
from icfqueue.reports.report import Report

SIGNS = {
    Kind.MISSING: "✗",
    Kind.SHORT: "▼",
    Kind.DOUBLED: "\N{MULTIPLICATION SIGN}2",
    Kind.UNEXPECTED: "+",
    Kind.ORDER: "⇄",
}
"""What marks a difference, beside its color."""

MOST_ODD = 8
"""Unexpected protocols that have a column of their own, the most frequent ones."""

MOST_ROWS = 5_000
"""Visits that the matrix shows; of more, only those that differ."""

OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Columns:
    """The protocols of the matrix, from left to right; `others` share the last column."""

    own: Sequence[str]
    others: frozenset[str]


def columns_of(report: Report) -> Columns:
    """Return the columns: what is usual, what is had sometimes, what is not expected."""
    pattern = report.pattern
    had = Counter(
        protocol
        for scans in report.scans.values()
        for protocol in {scan.protocol for scan in scans}
        if protocol not in pattern.expected
    )
    by_number = [protocol for protocol, _ in sorted(had.items(), key=lambda p: (-p[1], p))]
    sometimes = [protocol for protocol in by_number if protocol in pattern.sometimes]
    odd = [protocol for protocol in by_number if protocol not in pattern.sometimes]
    own = [*pattern.expected, *sometimes, *odd[:MOST_ODD]]
    return Columns(own, frozenset(odd[MOST_ODD:]))


def matrix(report: Report, link: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of the matrix.

    Parameters
    ----------
    link
        Makes the HTML of a visit's name: with a link to its page, if it has one.
    """
    columns = columns_of(report)
    names = [*columns.own, *([OTHERS] if columns.others else [])]
    heads = "".join(
        f'<th scope="col"><span>{escape(shown(name, 40))}</span></th>' for name in names
    )
    yield f'<table class="matrix"><thead><tr><th scope="col">visit</th>{heads}</tr>'
    yield f"{_usual_row(report, names)}</thead><tbody>"
    few = len(report.scans) > MOST_ROWS
    for visit in report.differing if few else report.scans:
        yield _row(report, visit, columns, link)
    yield "</tbody></table>"


def usual_images(expected: Expected) -> str:
    """Return the usual numbers of images in words."""
    return " + ".join(
        f"≥{least}" if images is None else str(images)
        for images, least in zip(expected.images, expected.least, strict=True)
    )


def _usual_row(report: Report, names: Sequence[str]) -> str:
    expected = report.pattern.expected
    cells = "".join(
        f"<td>{usual_images(expected[name]) if name in expected else ''}</td>"
        for name in names
    )
    what = f"as {report.pattern.like}" if report.pattern.like else "usual"
    return f'<tr class="usual"><th scope="row">{escape(what)}</th>{cells}</tr>'


def _row(report: Report, visit: str, columns: Columns, link: Callable[[str], str]) -> str:
    differing: Mapping[str, list[Difference]] = _by_protocol(
        report.differing.get(visit, ())
    )
    had = by_protocol(report.scans[visit])
    cells = []
    for protocol in columns.own:
        images = " + ".join(str(scan.images) for scan in had.get(protocol, ()))
        cells.append(_cell(images, differing.get(protocol, ())))
    if columns.others:
        others = [name for name in had if name in columns.others]
        told = [one for name in others for one in differing[name]]
        cells.append(_cell(shown(", ".join(others), 60), told[:1]))
    kinds = " ".join({one.kind: None for some in differing.values() for one in some})
    told_kinds = f' data-kinds="{kinds}"' if kinds else ""
    return f'<tr{told_kinds}><th scope="row">{link(visit)}</th>{"".join(cells)}</tr>'


def _cell(images: str, differences: Sequence[Difference]) -> str:
    if not differences:
        return f"<td>{images}</td>"
    kinds = list(dict.fromkeys(one.kind for one in differences))
    signs = "".join(f"{sign(kind)} " for kind in kinds)
    words = "; ".join(one.words for one in differences)
    content = f"{signs}{escape(images)}"
    if not images:
        # A cell that has a sign alone is easily overlooked; here all see the word.
        content = content.replace('class="unseen"', 'class="word"')
    return element("td", content, {"class": kinds[0].value, "title": shown(words)})


def sign(kind: Kind) -> str:
    """Return the HTML of a kind's sign, with its word for who does not see it."""
    word = f'<span class="unseen">{kind.value} </span>'
    return f'<b class="sign" aria-hidden="true">{SIGNS[kind]}</b>{word}'


def _by_protocol(differences: Sequence[Difference]) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = defaultdict(list)
    for one in differences:
        found[one.protocol].append(one)
    return found
