"""The report as one HTML file that needs no other file, no network and no mouse."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from icfqueue.core.plain_text import shown, size
from icfqueue.reports.differences import Difference, Kind
from icfqueue.reports.pages import charts
from icfqueue.reports.pages.charts import Chart
from icfqueue.reports.pages.markup import element, escape, facts, scrolled, table
from icfqueue.reports.pages.matrix import MOST_ROWS, SIGNS, matrix, sign, usual_images
from icfqueue.reports.report import Report

ASSETS = Path(__file__).parents[2] / "assets" / "report"

MEANINGS = {
    Kind.MISSING: "a usual series is not there",
    Kind.SHORT: "it has fewer images than usual; where their number varies, less than half",
    Kind.DOUBLED: "there are more series of it than usual",
    Kind.UNEXPECTED: "at most a fifth of the visits have it",
    Kind.ORDER: "it was made before or after others, unlike in most visits",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Where a report links to.

    Attributes
    ----------
    catalog
        Address of the catalog; None without one.
    pages
        Part of the address of a visit's page behind that of the catalog, by visit id.
    """

    catalog: str | None
    pages: dict[str, str]

    def name(self, visit: str) -> str:
        """Return the HTML of a visit's id, a link to its page if it has one."""
        if self.catalog is None or visit not in self.pages:
            return escape(visit)
        return element("a", escape(visit), {"href": f"{self.catalog}{self.pages[visit]}"})


def page(report: Report, links: Links) -> str:
    """Return the page.

    Raises
    ------
    UsageError
        There is nothing to draw the charts with.
    """
    charts.check_library()
    script = (ASSETS / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    frame = Template((ASSETS / "report.html").read_text("utf-8"))
    sections = list(_sections(report, links))
    parts = (element("a", one.title, {"href": f"#{one.name}"}) for one in sections)
    catalog = ""
    if links.catalog is not None:
        catalog = element("a", "Catalog", {"href": links.catalog})
    return frame.substitute(
        # The browser itself refuses other hosts and every script but this one (CSP 3).
        policy="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; script-src 'sha256-{digest}'",
        project=escape(report.project),
        parts="\n".join(parts),
        catalog=catalog,
        style=(ASSETS / "report.css").read_text("utf-8"),
        script=script,
        content="\n".join([_facts(report), *(one.html() for one in sections)]),
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the page that its head links to."""

    title: str
    content: Iterable[str]

    @property
    def name(self) -> str:
        return self.title.lower().replace(" ", "-")

    def html(self) -> str:
        head = f'<h2 id="{self.name}-title">{self.title}</h2>'
        start = f'<section id="{self.name}" aria-labelledby="{self.name}-title">'
        return "\n".join([start, head, *self.content, "</section>"])


def _sections(report: Report, links: Links) -> Iterator[_Section]:
    yield _Section("Usual pattern", _pattern(report))
    yield _Section("Visits that differ", _differing(report, links.name))
    yield _Section("Matrix", _matrix(report, links.name))
    if report.work.counts:
        yield _Section("Work", _work(report))
    yield _Section("Disk and wire", _disk(report))
    if report.untold:
        rows = [(links.name(v.id), escape(e.message)) for v, e in report.untold.items()]
        unknown = [table("Table of the visits not known", ("visit", "why"), rows)]
        yield _Section("Not known", unknown)


def _facts(report: Report) -> str:
    counts = report.work.counts
    pairs = [
        ("Visits with series", f"{len(report.scans):,}"),
        ("Visits that differ", f"{len(report.differing):,}"),
        ("Images", f"{report.images:,}"),
        ("Size of images", size(report.bytes)),
        *((state.capitalize(), f"{count:,}") for state, count in counts.items()),
    ]
    return facts(pairs)


def _pattern(report: Report) -> Iterator[str]:
    pattern, visits = report.pattern, len(report.scans)
    if pattern.like:
        yield f"<p>Every visit is compared with <b>{escape(pattern.like)}</b>.</p>"
    else:
        yield (
            f"<p>What more than half of the {visits:,} visits have. A number of images "
            "that more than half of these share is usual; “≥” stands where it varies.</p>"
        )
    if not pattern.order:
        yield "<p>There is no usual order of the series: none is marked for it.</p>"
    wrong = Counter(
        (one.protocol, one.kind) for some in report.differing.values() for one in some
    )
    kinds = [kind for kind in Kind if kind != Kind.UNEXPECTED]
    had = Counter(
        name for some in report.scans.values() for name in {s.protocol for s in some}
    )
    rows = [
        (
            escape(shown(protocol)),
            str(expected.times),
            usual_images(expected),
            f"{had[protocol]:,}",
            *(str(wrong[protocol, kind] or "") for kind in kinds),
        )
        for protocol, expected in pattern.expected.items()
    ]
    heads = ("protocol", "series", "images", "visits", *(kind.value for kind in kinds))
    yield table("Table of the usual pattern", heads, rows, numbers=heads[1:])
    if pattern.sometimes:
        some = ", ".join(
            f"{escape(shown(name))} ({count / visits:.0%})"
            for name, count in pattern.sometimes.items()
        )
        yield f"<p>Had by some visits, and not marked: {some}.</p>"


def _differing(report: Report, link: Callable[[str], str]) -> Iterator[str]:
    if not report.differing:
        yield "<p>None: all visits are as usual.</p>"
        return
    counted = Counter(
        kind for some in report.differing.values() for kind in {one.kind for one in some}
    )
    items = "".join(
        f'<li class="{kind.value}">{sign(kind)}<b>{kind.value}</b> '
        f"in {_visits(counted[kind])}: {MEANINGS[kind]}</li>"
        for kind in Kind
    )
    yield f'<ul class="legend">{items}</ul>'
    rows = [
        (link(visit), "<br>".join(_told(one) for one in differences))
        for visit, differences in report.differing.items()
    ]
    yield table("Table of the visits that differ", ("visit", "what differs"), rows)


def _visits(count: int) -> str:
    return "1 visit" if count == 1 else f"{count:,} visits"


def _told(one: Difference) -> str:
    numbers = f" (series {', '.join(map(str, one.numbers))})" if one.numbers else ""
    return f"{sign(one.kind)} {escape(shown(one.protocol))}: {one_line(one)}{numbers}"


def one_line(one: Difference) -> str:
    """Return the HTML of what was found."""
    return escape(shown(one.words))


def _matrix(report: Report, link: Callable[[str], str]) -> Iterator[str]:
    few = len(report.scans) > MOST_ROWS
    which = "The visits that differ" if few else "All visits"
    signs = ", ".join(f"{SIGNS[kind]} {kind.value}" for kind in Kind)
    yield f"<p>{which} with the number of images of each protocol; {signs}.</p>"
    options = "".join(f"<option>{kind.value}</option>" for kind in Kind)
    first = '<option value="">all</option><option value="any">that differ</option>'
    yield (
        '<form class="filters" role="search" aria-label="Filter the matrix" hidden>'
        '<label for="name">Visit</label>'
        '<input id="name" type="search" autocomplete="off" spellcheck="false">'
        '<label for="kind">Show</label>'
        f'<select id="kind">{first}{options}</select>'
        '<p id="count" role="status"></p></form>'
    )
    yield scrolled("".join(matrix(report, link)), "Table of visits by protocols")
    yield '<p class="print-only">On paper the visits that are as usual are left out.</p>'


def _work(report: Report) -> Iterator[str]:
    work = report.work
    drawn: list[tuple[str, Chart]] = []
    if work.efforts:
        drawn = [
            ("Progress over time", charts.over_time(work.efforts)),
            ("Duration against size", charts.duration(work.efforts)),
            ("Rate against size", charts.rate(work.efforts)),
        ]
    if work.failures:
        drawn.append(("Failures by cause", charts.failures(work.failures)))
    yield f'<div class="charts">{"".join(_figure(*one) for one in drawn)}</div>'
    if work.failures:
        rows = [
            (
                f"<code>{escape(group.cause)}</code>",
                f"{group.count:,}",
                escape(group.example),
                escape(f"{group.meaning}: {group.remedy}" if group.meaning else ""),
            )
            for group in work.failures
        ]
        heads = ("cause", "visits", "for example", "what to do")
        yield table("Table of failures by cause", heads, rows, numbers=("visits",))


def _disk(report: Report) -> Iterator[str]:
    usage = report.usage
    chart = charts.disk(usage.here, usage.clone)
    yield f'<div class="charts">{_figure("On the disk here", chart)}</div>'


def _figure(title: str, chart: Chart) -> str:
    caption = f"<b>{escape(title)}.</b> {escape(chart.words)}"
    return f"<figure>{chart.svg}<figcaption>{caption}</figcaption></figure>"
