"""A folder's listing as Apache's mod_autoindex writes it."""

from __future__ import annotations

import html
import stat
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from icfqueue.core.errors import UnsafePath
from icfqueue.store.reading import StoreReader

STYLE = """
:root { color-scheme: light dark; --line: #8885; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem;
  padding: 1rem; background: Canvas; color: CanvasText; }
section { border-top: 1px solid var(--line); padding: 0.5rem 0 1rem; }
h1, h2, a { overflow-wrap: anywhere; }
h2 { margin: 0.5rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line);
  border-radius: 0.3rem; padding: 0.6rem; }
nav a { margin-right: 1.5rem; }
"""
"""The style of listings and of the page over all projects; the policy allows no other."""


class Shown(NamedTuple):
    """A line of the listing: name, size (bytes; None of a folder), time of last change."""

    name: str
    size: int | None
    mtime: float


def visible(store: StoreReader, folder: Path) -> Iterator[Shown]:
    """Yield what a folder below the store directory shows: nothing hidden.

    Nor any link but those that the site lets be followed.
    """
    with store.beneath.folder(folder) as opened:
        for name, kind in opened.listing():
            if name.startswith("."):
                continue
            try:
                # Links are shown where the site lets them be followed.
                whole = kind == "link"
                found = store.stat(folder / name) if whole else opened.stat(name)
            except (UnsafePath, OSError):
                continue
            if found and stat.S_ISDIR(found.st_mode):
                yield Shown(name, None, found.st_mtime)
            elif found and stat.S_ISREG(found.st_mode):
                yield Shown(name, found.st_size, found.st_mtime)


def listing(entries: Iterable[Shown], path: str, query: str) -> str:
    """Return the listing of a folder as a page of HTML.

    Parameters
    ----------
    entries
        What it shows.
    path
        Its decoded URL path, ending with ``/``.
    query
        ``C=N;O=D`` turns the order of the names round.
    """
    found = sorted((entry.name + "/" * (entry.size is None), entry) for entry in entries)
    if "O=D" in query:
        found.reverse()
    order = "A" if "O=D" in query else "D"
    rows = [f'<tr><th><a href="?C=N;O={order}">Name</a></th>']
    rows += [
        f'<th><a href="?C={key};O=A">{label}</a></th>'
        for key, label in (("M", "Last modified"), ("S", "Size"))
    ]
    rows.append("</tr>\n")
    if path != "/":
        parent = urllib.parse.quote(path.rstrip("/").rpartition("/")[0] + "/")
        rows.append(f'<tr><td><a href="{parent}">Parent Directory</a></td></tr>\n')
    for name, entry in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.mtime))
        size = "-" if entry.size is None else str(entry.size)
        rows.append(
            f'<tr><td><a href="{html.escape(href(name))}">{html.escape(name)}</a></td>'
            f'<td align="right">{when}</td><td align="right">{size}</td></tr>\n'
        )
    title = f"Index of {path.rstrip('/') or '/'}"
    return html_page(title, f"<table>\n{''.join(rows)}</table>\n")


def html_page(title: str, body: str) -> str:
    """Return a page of HTML with a title, which is escaped, and :data:`STYLE`."""
    name = html.escape(title)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{name}</h1>\n{body}</main></body></html>\n"
    )


def href(name: str) -> str:
    """Return a relative link to `name`; ``a:b`` alone would read as a scheme."""
    # A name need not be UTF-8.
    quoted = urllib.parse.quote(name, errors="surrogateescape")
    return f"./{quoted}" if ":" in name else quoted
