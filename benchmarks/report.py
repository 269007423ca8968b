"""``python -m benchmarks.report``: put the figures of ``results.json`` into the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import model

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def markdown(results: dict[str, Any]) -> str:
    """Return machine and figures as Markdown."""
    groups = results["groups"]
    machines = [group["machine"] for group in groups.values()]
    if any(machine["quick"] for machine in machines):
        raise SystemExit("results of --quick are too rough to be published")
    here = machines[0]
    if any(machine["processor"] != here["processor"] for machine in machines):
        raise SystemExit("the groups were not measured on one machine")
    packages = ", ".join(f"{name} {version}" for name, version in here["packages"].items())
    machine = (
        f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB, "
        f"Linux {here['kernel']}, Python {here['python']}, git {here['git']}, {packages}."
    )
    lines = [
        machine,
        "",
        "| case | ours | reference | what | figure | target | peak memory | met |",
        "|---|---:|---:|---|---|---|---:|---|",
    ]
    for group in groups.values():
        lines += [_line(row) for row in group["rows"]]
    loads = {name: group["machine"]["load_average"][0] for name, group in groups.items()}
    dates = sorted({group["machine"]["date"][:10] for group in groups.values()})
    said = ", ".join(f"{name} {load}" for name, load in loads.items())
    how = "make bench ARGS=--full" if here["full"] else "make bench"
    when = f"Measured {' and '.join(dates)} by `{how}`."
    lines += ["", f"{when} Load average of the minute before each group: {said}."]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row.get("met")]
    peak = f"{row['peak_mb']:.0f} MB" if "peak_mb" in row else ""
    cells = [
        row["case"],
        _number(row, "ours"),
        _number(row, "reference"),
        row["against"],
        row["figure_text"],
        row["target"],
        peak,
        met,
    ]
    return f"| {' | '.join(cells)} |"


def _number(row: dict[str, Any], side: str) -> str:
    if side not in row:
        return ""
    value = row[side]
    return f"{value:.3f} {row['unit']}" if value < 10 else f"{value:,.1f} {row['unit']}"


def modelled(results: dict[str, Any]) -> str:
    """Return the model's table for its default site as Markdown."""
    text = [model.sentence(model.Site(), model.costs(model.Site(), results))]
    for site, said in (
        (model.Site(), "Everything is fetched from the store:"),
        (model.Site(local=True), "The tarballs lie in the store directory already:"),
    ):
        head, *rows = model.lines(site, model.costs(site, results))
        dashes = ["---:"] * len(head)
        text += ["", said, ""]
        text += [f"| {' | '.join(cells)} |" for cells in (head, dashes, *rows)]
    return "\n".join(text)


def main() -> None:
    """Replace what stands between the marks."""
    results = json.loads(RESULTS.read_text())
    text = PAGE.read_text()
    for name, new in (("figures", markdown(results)), ("model", modelled(results))):
        first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(first)
        text = f"{before}{first}\n{new}\n{last}{rest.partition(last)[2]}"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
