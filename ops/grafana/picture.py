"""Draws the dashboard's graphs from a running Prometheus, where no Grafana is at hand.

    python ops/grafana/picture.py http://127.0.0.1:9090 docs/monitoring.png --minutes 3

Needs matplotlib, which brings Pillow (``pip install matplotlib``). The queries are those of
icfqueue.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter
from PIL import Image

DASHBOARD = Path(__file__).with_name("icfqueue.json")
POINTS = 120
"""Values of each line."""

UNITS = {"s": "s", "bytes": "B", "Bps": "B/s", "ops": "1/s", "none": ""}
"""What Grafana calls them, and how they are shown."""

LINES = ("-", "--", "-.", ":")
"""Colours alone would not tell lines apart for everybody."""


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus", help="its address")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--minutes", type=float, default=60.0, help="how far back")
    parser.add_argument("--project", default=".*", help="a regular expression")
    parser.add_argument("--rate", default="5m", help="over which rates are taken")
    chosen = parser.parse_args()
    found = json.loads(DASHBOARD.read_text())["panels"]
    panels = [panel for panel in found if panel["type"] == "timeseries"]
    rows = -(-len(panels) // 3)
    with plt.rc_context({"font.size": 7}):
        figure, places = plt.subplots(rows, 3, figsize=(11, 2.3 * rows))
        for axes, panel in zip(places.flat, panels, strict=False):
            draw(axes, panel, chosen)
        for axes in places.flat[len(panels) :]:
            axes.remove()
        figure.tight_layout()
        figure.savefig(chosen.picture, dpi=90, format="png")
    # Few colours are used; said so, the file is a third as large.
    with Image.open(chosen.picture) as drawn:
        drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=48).save(
            chosen.picture, format="png", optimize=True
        )


def draw(axes: Any, panel: dict[str, Any], chosen: argparse.Namespace) -> None:
    """Draw one panel."""
    end = time.time()
    start = end - 60 * chosen.minutes
    lines: list[tuple[str, list[float], list[float]]] = []
    for target in panel["targets"]:
        query = target["expr"].replace("$project", chosen.project)
        query = query.replace("$__rate_interval", chosen.rate)
        for labels, pairs in ask(chosen.prometheus, query, start, end):
            values = [float(value) for _, value in pairs]
            lines.append(
                (named(target, labels), [(at - start) / 60 for at, _ in pairs], values)
            )
    for number, (label, minutes, values) in enumerate(lines):
        style = LINES[number % len(LINES)]
        axes.plot(minutes, values, style, label=label, linewidth=1)
    axes.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
    axes.set_xlim(0, chosen.minutes)
    known = [one for _, _, values in lines for one in values if math.isfinite(one)]
    highest = max(known, default=0.0)
    axes.set_ylim(0, 1.05 * highest or 1)
    axes.grid(visible=True, linewidth=0.3)
    unit = UNITS.get(panel["fieldConfig"]["defaults"]["unit"], "")
    axes.yaxis.set_major_formatter(EngFormatter(unit=unit))
    axes.set_xlabel("minutes", fontsize=6)
    if len(lines) > 1:
        many = len(lines) > len(LINES) + 3
        axes.legend(fontsize=4.5 if many else 6, ncols=2 if many else 1, frameon=False)


def named(target: dict[str, Any], labels: dict[str, str]) -> str:
    """Return the name of a line, as Grafana makes it."""
    found: str = target["legendFormat"]
    for name, value in labels.items():
        found = found.replace(f"{{{{{name}}}}}", value)
    return found


def ask(
    address: str, query: str, start: float, end: float
) -> list[tuple[dict[str, str], list[tuple[float, str]]]]:
    """Return labels and values of each series; times are seconds since 1970."""
    words = urllib.parse.urlencode(
        {"query": query, "start": start, "end": end, "step": (end - start) / POINTS}
    )
    where = f"{address}/api/v1/query_range?{words}"
    with urllib.request.urlopen(where) as answer:  # noqa: S310 - the caller names it
        found = json.load(answer)["data"]["result"]
    return [(one["metric"], one["values"]) for one in found]


if __name__ == "__main__":
    main()
