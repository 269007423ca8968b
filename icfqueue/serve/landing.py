"""The page over all projects of a store.

It is made when it is asked for, and nothing of it is stored: so it is true at any moment,
also when a project was added or removed by hand, needs no second writer and no right to
write in the store. What is slow, counting the visits of a large project, is remembered
for as long as the project's folder has not changed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import shlex
import threading
from contextlib import suppress

from icfqueue.core.errors import UnsafePath
from icfqueue.core.visit import is_id
from icfqueue.dataset.superdataset.entries import deposited
from icfqueue.outputs.deposit import EXPORT, REFS, clone_url
from icfqueue.serve.listing import STYLE, href, html_page
from icfqueue.store.reading import StoreReader

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""What a browser may do with a page of ours: show it, and nothing else (CSP level 3)."""


class Landing:
    """Makes the page.

    Parameters
    ----------
    store
        The store directory.
    name
        What stands above it.
    """

    def __init__(self, store: StoreReader, name: str) -> None:
        self.store = store
        self.name = name
        self._counts: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def page(self, address: str) -> str:
        """Return the page as HTML.

        Parameters
        ----------
        address
            Of the store, as who asks has reached it.
        """
        projects = [name for name in self.store.projects() if is_id(name)]
        sections = "".join(self._section(name, address) for name in projects)
        count = "1 project" if len(projects) == 1 else f"{len(projects)} projects"
        return html_page(self.name, f"<p>{count}</p>\n{sections}")

    def _section(self, project: str, address: str) -> str:
        link = html.escape(href(project))
        count = self._count(project)
        visits = "1 visit" if count == 1 else f"{count:,} visits"
        links = [f'<a href="{link}/">Files</a>']
        if self._has(project, "catalog", "index.html"):
            links.insert(0, f'<a href="{link}/catalog/">Catalog</a>')
        words = ""
        if self._has(project, REFS) and self._has(project, EXPORT):
            url = shlex.quote(clone_url(address, project))
            command = html.escape(f"datalad clone {url} {project}")
            words = (
                "<p>All of its visits, by DataLad with datalad-next:</p>"
                f'<pre tabindex="0"><code>{command}</code></pre>\n'
            )
        return (
            f"<section><h2>{html.escape(project)}</h2>\n<p>{visits}</p>\n"
            f'<nav aria-label="{html.escape(project)}">{"".join(links)}</nav>\n'
            f"{words}</section>\n"
        )

    def _has(self, project: str, *names: str) -> bool:
        with suppress(OSError, UnsafePath):
            return self.store.exists(self.store.project_dir(project).joinpath(*names))
        return False

    def _count(self, project: str) -> int:
        """Return how many visits are deposited."""
        with suppress(OSError, UnsafePath):
            found = self.store.stat(self.store.project_dir(project))
            when = found.st_mtime_ns if found else 0
            with self._lock:
                known = self._counts.get(project)
            if known is None or known[0] != when:
                known = (when, len(deposited(self.store, project)))
                with self._lock:
                    self._counts[project] = known
            return known[1]
        return 0
