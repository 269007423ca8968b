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
from statistics import fmean
from typing import Any, ClassVar

import grimp
import networkx as nx
from docutils import nodes
from markdown_tables import MarkdownDirective, table
from sphinx.util.docutils import SphinxDirective

import icfqueue

ROOT = Path(icfqueue.__file__).parents[1]
TOPS = ("icfqueue", "workers")

WIDE, HIGH, PASS, GAP_X, GAP_Y, MARGIN = 128, 40, 6, 22, 46, 14
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


Box = tuple[str, ...]
"""The names in one box of the picture; empty where an arrow passes a floor."""


def floors() -> list[list[Box]]:
    """Return the boxes of each floor, the lowest first."""
    joined = nx.condensation(import_graph())
    return [
        sorted(tuple(sorted(joined.nodes[box]["members"])) for box in row)
        for row in nx.topological_generations(joined.reverse())
    ]


@dataclass(eq=False)
class Place:
    """A place on a floor of the picture: a box, or where an arrow passes between boxes."""

    box: Box
    floor: int
    x: float = 0.0

    @property
    def wide(self) -> int:
        """Pixels from left to right."""
        return WIDE if self.box else PASS

    @property
    def middle(self) -> float:
        """Where arrows begin and end."""
        return self.x + self.wide / 2


def lay_out() -> tuple[list[list[Place]], list[list[Place]]]:
    """Return the places of each floor, the lowest first, and each arrow's way over them."""
    rows = [[Place(box, floor) for box in row] for floor, row in enumerate(floors())]
    place_of = {name: place for row in rows for place in row for name in place.box}
    arrows = nx.DiGraph()
    arrows.add_edges_from(
        (place_of[upper], place_of[lower])
        for upper, lower in import_graph().edges
        if place_of[upper] is not place_of[lower]
    )
    ways, near = [], nx.Graph()
    for upper, lower in sorted(
        nx.transitive_reduction(arrows).edges, key=lambda ends: [end.box for end in ends]
    ):
        between = [Place((), floor) for floor in range(upper.floor - 1, lower.floor, -1)]
        for place in between:
            rows[place.floor].append(place)
        ways.append([upper, *between, lower])
        nx.add_path(near, ways[-1])
    for sweep in range(24):
        for row in rows if sweep % 2 else reversed(rows):
            row.sort(
                key=lambda place: fmean(o.middle for o in near.adj.get(place, [place]))
            )
            left = -sum(place.wide + GAP_X for place in row) / 2
            for place in row:
                place.x, left = left, left + place.wide + GAP_X
    return rows, ways


def picture() -> str:
    """Return the SVG of the packages, floor by floor."""
    rows, ways = lay_out()
    places = [place for row in rows for place in row]
    left = min(place.x for place in places) - MARGIN
    wide = max(place.x + place.wide for place in places) + MARGIN - left
    high = len(rows) * (HIGH + GAP_Y) - GAP_Y + 2 * MARGIN
    for place in places:
        place.x -= left
    words = "; ".join(
        f"floor {floor}: {', '.join(name for place in row for name in place.box)}"
        for floor, row in enumerate(rows, 1)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" '
        f'width="{wide:.0f}" class="package-picture" role="img" '
        f'aria-label="{escape(words)}">'
    )
    drawn = [_arrow(way, high) for way in ways]
    boxes = [_box(place, high) for place in places if place.box]
    return "\n".join([head, TIP, *drawn, *boxes, "</svg>"])


def _top(place: Place, high: float) -> float:
    return high - MARGIN - HIGH - place.floor * (HIGH + GAP_Y)


def _arrow(way: list[Place], high: float) -> str:
    x, y = way[0].middle, _top(way[0], high) + HIGH
    path = f"M{x:.0f},{y:.0f}"
    for place in way[1:]:
        end, bend = _top(place, high), GAP_Y / 2
        path += f" C{x:.0f},{y + bend:.0f} {place.middle:.0f},{end - bend:.0f}"
        path += f" {place.middle:.0f},{end:.0f}"
        x, y = place.middle, end
        if not place.box:
            y += HIGH
            path += f" V{y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#5f7d92" marker-end="url(#tip)"/>'


def _box(place: Place, high: float) -> str:
    y = _top(place, high)
    text = " ⇄ ".join(place.box)
    size = min(15, 1.6 * WIDE / len(text))
    return (
        f'<rect x="{place.x:.0f}" y="{y:.0f}" width="{WIDE}" height="{HIGH}" rx="6" '
        f'fill="#eef4f8" stroke="#023d6b"/><text x="{place.middle:.0f}" '
        f'y="{y + HIGH / 2 + 5:.0f}" text-anchor="middle" font-size="{size:.1f}" '
        f'fill="#111">{escape(text)}</text>'
    )


class PackagePicture(SphinxDirective):
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
