"""The table of the packages and the picture of their imports, both made of the code.

::

    ```{package-picture}
    ```

    ```{package-table}
    ```

The imports are read by grimp, as import-linter does that checks them. A package stands on
the floor above the highest one that it imports; an arrow that follows from others is left
out of the picture. Packages that import each other in a circle would share a box.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import grimp
import networkx as nx
from docutils import nodes
from markdown_tables import MarkdownDirective, table

import icfqueue

ROOT = Path(icfqueue.__file__).parents[1]
TOPS = ("icfqueue", "workers")

WIDE, HIGH, GAP_X, GAP_Y, MARGIN = 128, 40, 22, 46, 14
"""Sizes in the picture, in pixels."""

TIP = (
    '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" '
    'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#5f7d92"/></marker></defs>'
)


@dataclass(frozen=True)
class Package:
    """One package: a folder below ``icfqueue``, or ``workers``."""

    name: str
    says: str
    modules: tuple[str, ...]


def package_of(module: str) -> str:
    """Return the package of a module: ``icfqueue.cli.commands.run`` is of ``cli``."""
    top, *rest = module.split(".")
    return rest[0] if top == "icfqueue" and rest else top


@cache
def read_imports() -> Any:
    """Return the graph of all modules, read afresh: a cache could be of another branch."""
    return grimp.build_graph(*TOPS, cache_dir=None)


def packages() -> dict[str, Package]:
    """Return all packages by name; what lies in none of them is left out."""
    modules = defaultdict(list)
    for module in sorted(read_imports().modules):
        folder = ROOT.joinpath(*module.split("."))
        if package_of(module) != "icfqueue" and not folder.with_suffix(".py").is_file():
            continue
        if package_of(module) not in {"icfqueue", "__main__"}:
            inner = module.split(".")[2 if module.startswith("icfqueue.") else 1 :]
            modules[package_of(module)].append("/".join(inner))
    found = {}
    for name, inside in modules.items():
        folder = ROOT / name if name in TOPS else ROOT / "icfqueue" / name
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        found[name] = Package(name, said.partition("\n\n")[0], tuple(inside))
    return found


def import_graph() -> nx.DiGraph:
    """Return which package imports which; an edge goes from the importer down."""
    graph = nx.DiGraph()
    graph.add_nodes_from(packages())
    for module in read_imports().modules:
        for other in read_imports().find_modules_directly_imported_by(module):
            upper, lower = package_of(module), package_of(other)
            if upper != lower and upper in graph and lower in graph:
                graph.add_edge(upper, lower)
    return graph


def floors() -> list[list[tuple[str, ...]]]:
    """Return the boxes of each floor, the lowest first, set so that arrows cross little."""
    joined = nx.condensation(import_graph())
    members = {box: tuple(sorted(joined.nodes[box]["members"])) for box in joined}
    rows = [sorted(row) for row in nx.topological_generations(joined.reverse())]
    place = {box: float(at) for row in rows for at, box in enumerate(row)}
    for _ in range(8):
        for row in [*rows, *reversed(rows)]:
            near = {
                box: [*joined.successors(box), *joined.predecessors(box)] for box in row
            }
            row.sort(
                key=lambda box: sum(place[n] for n in near[box]) / (len(near[box]) or 1)
            )
            place |= {box: at - len(row) / 2 for at, box in enumerate(row)}
    return [[members[box] for box in row] for row in rows]


def picture() -> str:
    """Return the SVG of the packages, floor by floor."""
    rows = floors()
    box_of = {name: box for row in rows for box in row for name in box}
    wide = max(len(row) for row in rows) * (WIDE + GAP_X) - GAP_X + 2 * MARGIN
    high = len(rows) * (HIGH + GAP_Y) - GAP_Y + 2 * MARGIN
    place: dict[tuple[str, ...], tuple[float, float]] = {}
    for floor, row in enumerate(rows):
        left = (wide - len(row) * (WIDE + GAP_X) + GAP_X) / 2
        for at, box in enumerate(row):
            place[box] = (
                left + at * (WIDE + GAP_X),
                high - MARGIN - HIGH - floor * (HIGH + GAP_Y),
            )
    arrows = nx.DiGraph()
    arrows.add_edges_from(
        (box_of[upper], box_of[lower])
        for upper, lower in import_graph().edges
        if box_of[upper] != box_of[lower]
    )
    drawn = [
        _arrow(place[up], place[low]) for up, low in nx.transitive_reduction(arrows).edges
    ]
    boxes = [_box(box, *at) for box, at in place.items()]
    words = "; ".join(
        f"floor {floor}: {', '.join(name for box in row for name in box)}"
        for floor, row in enumerate(rows, 1)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        f'width="{wide}" class="package-picture" role="img" aria-label="{escape(words)}">'
    )
    return "\n".join([head, TIP, *drawn, *boxes, "</svg>"])


def _arrow(upper: tuple[float, float], lower: tuple[float, float]) -> str:
    x1, y1 = upper[0] + WIDE / 2, upper[1] + HIGH
    x2, y2 = lower[0] + WIDE / 2, lower[1]
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} '
        f'{x2:.0f},{y2:.0f}" fill="none" stroke="#5f7d92" marker-end="url(#tip)"/>'
    )


def _box(names: tuple[str, ...], x: float, y: float) -> str:
    text = " ⇄ ".join(names)
    size = min(15, 1.6 * WIDE / len(text))
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDE}" height="{HIGH}" rx="6" '
        f'fill="#eef4f8" stroke="#023d6b"/><text x="{x + WIDE / 2:.0f}" '
        f'y="{y + HIGH / 2 + 5:.0f}" text-anchor="middle" font-size="{size:.1f}" '
        f'fill="#111">{escape(text)}</text>'
    )


class PackagePicture(MarkdownDirective):
    """Put the picture into the page itself, so that it needs no further file."""

    def run(self) -> list[nodes.Node]:
        """Return the SVG as raw HTML."""
        return [nodes.raw("", picture(), format="html")]


class PackageTable(MarkdownDirective):
    """Lay the packages out by floor, the highest first."""

    heads: ClassVar[tuple[str, ...]] = (
        "floor",
        "package",
        "what it is",
        "modules",
        "imports",
    )

    def markdown(self) -> str:
        """Return the table."""
        found, graph = packages(), import_graph()
        lines = []
        for floor, row in reversed(list(enumerate(floors(), 1))):
            for name in sorted(name for box in row for name in box):
                package = found[name]
                modules = ", ".join(f"`{one}`" for one in package.modules)
                below = ", ".join(f"`{one}`" for one in sorted(graph.successors(name)))
                shown = f"`{name}/`"
                lines.append(
                    [str(floor), shown, package.says, modules or "none", below or "nothing"]
                )
        return table(self.heads, lines)


def setup(app: Any) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("package-picture", PackagePicture)
    app.add_directive("package-table", PackageTable)
    return {"parallel_read_safe": True}
