"""A folder's listing as Apache's mod_autoindex writes it."""

from __future__ import annotations

import html
import os
import time
import urllib.parse
from contextlib import suppress
from pathlib import Path


def listing(folder: Path, path: str, query: str) -> str:
    """Return the listing of a folder, without hidden files, as a page of HTML.

    Parameters
    ----------
    folder
        The folder.
    path
        Its decoded URL path, ending with ``/``.
    query
        ``C=N;O=D`` turns the order of the names round.
    """
    names = sorted(
        (entry.name + "/" * entry.is_dir(), entry)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".")
    )
    if "O=D" in query:
        names.reverse()
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
    for name, entry in names:
        with suppress(OSError):
            about = entry.stat()
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(about.st_mtime))
            size = "-" if entry.is_dir() else str(about.st_size)
            rows.append(
                f'<tr><td><a href="{html.escape(_href(name))}">{html.escape(name)}</a></td>'
                f'<td align="right">{when}</td><td align="right">{size}</td></tr>\n'
            )
    title = html.escape(f"Index of {path.rstrip('/') or '/'}")
    return (
        "<!DOCTYPE html>\n"
        f"<html><head><title>{title}</title></head>\n"
        f"<body><h1>{title}</h1>\n<table>\n{''.join(rows)}</table>\n</body></html>\n"
    )


def _href(name: str) -> str:
    """Return a relative link to `name`; ``a:b`` alone would read as a scheme."""
    quoted = urllib.parse.quote(name)
    return f"./{quoted}" if ":" in name else quoted
