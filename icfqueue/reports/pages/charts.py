"""The charts of a report as SVG to stand in a page, drawn by Matplotlib.

Text stays text, in the page's font; its color and the axes' is the page's own, so that
they can be read in light, in dark and in print. What is drawn differs by shape as well as
by color; the colors are those of Okabe and Ito, which the colour-blind tell apart.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from icfqueue.core import plain_text
from icfqueue.core.errors import UsageError
from icfqueue.reports.disk import Taken
from icfqueue.reports.work import Effort, Failures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
"""Of the eight colors of Okabe and Ito (2008)."""

MOST_POINTS = 2_000
"""Visits that are drawn as points; of more, every second, third, … one."""

_INK = "#010203"
"""Stands for the page's own color until the chart is put there."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    **dict.fromkeys(
        (
            "text.color",
            "axes.labelcolor",
            "axes.edgecolor",
            "xtick.color",
            "ytick.color",
            "grid.color",
        ),
        _INK,
    ),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its SVG and a sentence that says the same."""

    svg: str
    words: str


def check_library() -> None:
    """Raise if there is nothing to draw with.

    Raises
    ------
    UsageError
        Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "the charts of a report need the package matplotlib",
            hint="pip install matplotlib",
        )


def _span(hours: float) -> str:
    """Return how long that is, in the unit that suits it."""
    if hours < 1:
        return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
    return f"{hours:.1f} h"


def over_time(efforts: Sequence[Effort]) -> Chart:
    """Return how many visits were done by when."""
    # Of its own module, which has types for half of it.
    dates: Any = importlib.import_module("matplotlib.dates")
    times = [datetime.fromtimestamp(one.finished_at, UTC) for one in efforts]
    with _drawn("time") as (axes, drawn):
        counts = range(1, len(times) + 1)
        axes.step(dates.date2num(times), counts, where="post", color=BLUE, linewidth=2)
        axes.set_ylabel("visits done")
        axes.set_ylim(bottom=0)
        locator = dates.AutoDateLocator(minticks=3)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
        axes.set_xlabel("UTC")
    size = sum(one.tar_bytes for one in efforts)
    hours = (efforts[-1].finished_at - efforts[0].finished_at) / 3600
    words = (
        f"{len(efforts):,} visits with {plain_text.size(size)} were done from "
        f"{times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC, in {_span(hours)}."
    )
    return Chart(drawn[0], words)


def duration(efforts: Sequence[Effort]) -> Chart:
    """Return how long visits took against their size."""
    return _against_size(
        efforts,
        "duration",
        [one.seconds for one in efforts],
        "seconds of all steps",
        f"Half of the visits took at most {median(one.seconds for one in efforts):.1f} s",
    )


def rate(efforts: Sequence[Effort]) -> Chart:
    """Return how many bytes a second were worked on, against the size of a visit."""
    middle = median(one.rate for one in efforts)
    return _against_size(
        efforts,
        "rate",
        [one.rate / 1e6 for one in efforts],
        "MB a second",
        f"Half of the visits were done at {plain_text.size(middle)} a second or faster",
    )


def failures(groups: Sequence[Failures]) -> Chart:
    """Return how many visits failed by which cause."""
    with _drawn("failures", rows=len(groups)) as (axes, drawn):
        _bars(axes, [group.cause for group in groups], [group.count for group in groups])
        axes.set_xlabel("visits that failed")
    told = ", ".join(f"{group.count} {group.cause}" for group in groups)
    return Chart(drawn[0], f"Visits that failed: {told}.")


def disk(here: Sequence[Taken], clone: float | None) -> Chart:
    """Return what lies on the disk by kind; what a clone moves is said."""
    with _drawn("disk", rows=len(here)) as (axes, drawn):
        names = [one.kind for one in here]
        texts = [f"{plain_text.size(one.bytes)}, {_files(one.files)}" for one in here]
        _bars(axes, names, [max(1, one.bytes) for one in here], texts)
        axes.set_xscale("log")
        axes.set_xlabel("bytes")
    words = ", ".join(f"{plain_text.size(one.bytes)} of {one.kind}" for one in here)
    moved = f" To clone a visit takes {plain_text.size(clone)} (median)." if clone else ""
    return Chart(drawn[0], f"On the disk here: {words}.{moved}")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _against_size(
    efforts: Sequence[Effort], name: str, values: Sequence[float], label: str, words: str
) -> Chart:
    ticker: Any = importlib.import_module("matplotlib.ticker")
    step = math.ceil(len(efforts) / MOST_POINTS)
    sizes = [max(one.tar_bytes, 1) / 1e6 for one in efforts][::step]
    shown = [max(value, 1e-3) for value in values][::step]
    with _drawn(name) as (axes, drawn):
        axes.scatter(sizes, shown, s=14, color=ORANGE, edgecolors=BLUE, linewidths=0.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            # Plain numbers; between the powers of ten only where these are too few.
            axis.set_major_formatter(ticker.LogFormatter())
            axis.set_minor_formatter(ticker.LogFormatter(minor_thresholds=(1, 0.5)))
        axes.set_xlabel("tarball, MB")
        axes.set_ylabel(label)
    some = "" if step == 1 else f" One point for {step} visits."
    return Chart(drawn[0], f"{words}.{some}")


def _bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[int],
    texts: Sequence[str] | None = None,
) -> None:
    bars = axes.barh(names, values, color=BLUE, height=0.6)
    axes.bar_label(bars, labels=texts or [f"{one:,}" for one in values], padding=4)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.35)


@contextmanager
def _drawn(name: str, rows: int = 0) -> Iterator[tuple[Axes, list[str]]]:
    """Yield the axes of a figure, and a list that has its SVG when the block has ended.

    Parameters
    ----------
    name
        Tells the ids within one chart from those of all others on the page.
    rows
        Bars below each other; 0 for a chart of the usual height.
    """
    check_library()
    # It tells everybody when it looks for the fonts of a machine for the first time.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The ids of a chart are made of its content and this; without it, by chance.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        height = 0.9 + 0.4 * rows if rows else 3.0
        figure = Figure(figsize=(5.6, height), layout="constrained")
        axes = figure.subplots()
        drawn: list[str] = []
        yield axes, drawn
        # Here, for the style ends with this block.
        drawn.append(_svg(figure))


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Of the names of its parts only those that it uses: a page has each but once.
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(
        r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text
    )
    # A page has its own words for it; here it is a picture.
    text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return text.replace(_INK, "currentColor")
