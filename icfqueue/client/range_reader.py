"""Parts of files on the web, by HTTP Range over connections that are kept.

Only an answer that is exactly the part that was asked for is taken (RFC 9110, section
14 and 15.3.7); whatever else comes raises :class:`NotByRangeError`, unread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from icfqueue import __version__
from icfqueue.remote.download import Clock
from icfqueue.remote.http_errors import MAX_REDIRECTS
from icfqueue.remote.login import StoreLogin
from icfqueue.remote.sizes import range_of

if TYPE_CHECKING:
    import requests

BLOCK = 1 << 18
"""Bytes that are taken from a connection at once."""

TIMEOUT = (20.0, 60.0)
"""Seconds: to be connected, and between two arrivals of bytes."""


class NotByRangeError(Exception):
    """A part of a file cannot be had by itself; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file on the web.

    Attributes
    ----------
    url
        The whole file.
    start, length
        First byte, and number of bytes.
    total
        Length that the whole file must have, in bytes.
    md5
        Of the part, in hex.
    """

    url: str
    start: int
    length: int
    total: int
    md5: str


@dataclass
class RangeReader:
    """Reads parts; for one thread. One session is kept for each store."""

    _sessions: dict[str, requests.Session] = field(default_factory=dict)
    _etags: dict[str, str] = field(default_factory=dict)

    def read(self, part: Part, target: Path, progress: Callable[[int], None]) -> None:
        """Write a part into the file `target`.

        Parameters
        ----------
        progress
            Called with the number of bytes that have arrived.

        Raises
        ------
        NotByRangeError
            The server does not answer, refuses, or sends something else than the part.
        OSError
            The file cannot be written.
        """
        import requests

        try:
            with self._answer(part) as answer:
                self._check(answer, part)
                self._receive(answer, part, target, progress)
        except requests.RequestException as error:
            raise NotByRangeError(_reason(error)) from None

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _answer(self, part: Part) -> requests.Response:
        session = self._session(part.url)
        last = part.start + part.length - 1
        headers = {"Range": f"bytes={part.start}-{last}"}
        answer = session.get(part.url, headers=headers, stream=True, timeout=TIMEOUT)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and session.auth is _anonymous:
            answer.close()
            # DataLad takes half a second to import: only for a store that asks.
            session.auth = StoreLogin(_store_of(part.url), None).auth()
            answer = session.get(part.url, headers=headers, stream=True, timeout=TIMEOUT)
        return answer

    def _session(self, url: str) -> requests.Session:
        from icfqueue.remote.transport import Session

        store = _store_of(url)
        if store not in self._sessions:
            # Without an end: a slow line may take long for a large image.
            session = Session(Clock(), StoreLogin(store, None).covers)
            session.max_redirects = MAX_REDIRECTS
            # Without any, `requests` would send a password from `~/.netrc`.
            session.auth = _anonymous
            # A compressed body would have another length.
            agent = {"User-Agent": f"icfqueue/{__version__}", "Accept-Encoding": "identity"}
            session.headers.update(agent)
            self._sessions[store] = session
        return self._sessions[store]

    def _check(self, answer: requests.Response, part: Part) -> None:
        """Raise unless the answer is the part, of the file that was read before."""
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            raise NotByRangeError(f"the server answers {answer.status_code}, not 206")
        given = range_of(answer.headers.get("Content-Range", ""))
        if given is None:
            raise NotByRangeError("the server does not say which part it sends")
        first, last, total = given
        if total != part.total:
            raise NotByRangeError(
                f"the file has {total} bytes, not {part.total}: it was replaced"
            )
        if (first, last) != (part.start, part.start + part.length - 1):
            raise NotByRangeError("the server sends another part than was asked for")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise NotByRangeError("the server sends the part in another coding")
        etag = answer.headers.get("ETag", "")
        if self._etags.setdefault(part.url, etag) != etag:
            raise NotByRangeError("the file was replaced meanwhile (another ETag)")

    def _receive(
        self,
        answer: requests.Response,
        part: Part,
        target: Path,
        progress: Callable[[int], None],
    ) -> None:
        md5 = hashlib.md5(usedforsecurity=False)
        arrived = 0
        with target.open("wb") as out:
            for piece in answer.iter_content(BLOCK):
                arrived += len(piece)
                if arrived > part.length:
                    break
                out.write(piece)
                md5.update(piece)
                progress(arrived)
        if arrived != part.length:
            raise NotByRangeError(f"{arrived} bytes arrived, not {part.length}")
        if md5.hexdigest() != part.md5:
            raise NotByRangeError("the bytes at that place are not those of the image")


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send a request without a log-in."""
    return request


def _store_of(url: str) -> str:
    """Return the store's address, from that of a tarball: ``<store>/<project>/<file>``."""
    parts = urlsplit(url)
    above = "/".join(parts.path.split("/")[:-2])
    return f"{parts.scheme}://{parts.netloc}{above}"


def _reason(error: Exception) -> str:
    """Return a few words on a failed request; no address, which may hold a password."""
    words = {
        "ConnectTimeout": "the server does not answer",
        "ReadTimeout": "the server stopped sending",
        "ConnectionError": "the server cannot be reached",
        "SSLError": "the server's certificate is not trusted",
        "ChunkedEncodingError": "the connection broke",
    }
    name = type(error).__name__
    return words.get(name, f"the request failed ({name})")
