"""Which visits a directory listing on the web names.

Written for Apache's mod_autoindex; anything that links to its files will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from icfqueue.core.visit import TAR_SUFFIX, Visit


class _Links(HTMLParser):
    """Collects what the links of a page point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def visits_in_listing(project: str, address: str, page: str) -> list[Visit]:
    """Return the visits that a directory listing has a tarball of, by id.

    Parameters
    ----------
    project
        The project that it is the folder of.
    address
        Where the page came from; links are relative to it.
    page
        Its HTML. Links to anything but a file right in this folder are passed over.
    """
    visits = (Visit.of_tarball(project, name) for name in _names(address, page))
    return sorted({visit for visit in visits if visit})


def unusable_in_listing(project: str, address: str, page: str) -> list[str]:
    """Return the names of tarballs that :func:`visits_in_listing` passes over, sorted.

    Their names give no visit id. Parameters are the same.
    """
    return sorted(
        {
            name
            for name in _names(address, page)
            if name.endswith(TAR_SUFFIX)
            and "/" not in name
            and not Visit.of_tarball(project, name)
        }
    )


def _names(address: str, page: str) -> Iterator[str]:
    """Yield the path below the folder of everything that its listing links to."""
    links = _Links()
    links.feed(page)
    links.close()
    base = urlsplit(address)
    folder = unquote(base.path)
    for href in links.found:
        try:
            link = urlsplit(urljoin(address, href.strip()))
        except ValueError:
            continue
        path = unquote(link.path)
        here = (link.scheme, link.netloc) == (base.scheme, base.netloc)
        if here and not link.query and path.startswith(folder):
            yield path.removeprefix(folder)
