"""The store on the web: what it has, and one download from it.

Whatever goes wrong becomes one of our errors in :mod:`icfqueue.remote.http_errors`.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from icfqueue import __version__
from icfqueue.core.errors import (
    AccessDenied,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    TransientError,
    Unreachable,
    UsageError,
)
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit, check_id
from icfqueue.remote.http_errors import MAX_REDIRECTS, asking, of_status, without_login
from icfqueue.remote.listing import unusable_in_listing, visits_in_listing
from icfqueue.remote.login import StoreLogin

if TYPE_CHECKING:
    import requests

_MD5SUM = re.compile(r"([0-9A-Fa-f]{32}) [ *]([^\n/]+)\n?")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the store describes it without sending it.

    Attributes
    ----------
    size
        Bytes; None if the store does not say.
    etag, last_modified
        The headers as they came, or None.
    """

    size: int | None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """The value for If-Range: a strong tag, else the date (RFC 9110, 13.1.5)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class Download:
    """A body that is being received.

    Attributes
    ----------
    start
        Offset of its first byte in the file; 0 unless a part was asked for and granted.
    file
        The whole file that it belongs to.
    """

    def __init__(
        self, response: requests.Response, url: str, start: int, size: int
    ) -> None:
        self.start = start
        self.file = RemoteFile(
            size, response.headers.get("ETag"), response.headers.get("Last-Modified")
        )
        self._raw = response.raw
        self._raw.enforce_content_length = False  # checked by `read`, which says it better
        self._url = url
        self._left = size - start

    def read(self, most: int) -> bytes:
        """Return what has arrived, up to `most` bytes; nothing at the end.

        Raises
        ------
        NetworkTrouble
            The connection broke, stalled, or ended before the announced length.
        """
        if not self._left:
            return b""
        with asking(self._url):
            # read1 returns with the first bytes: progress is seen on slow lines too.
            piece: bytes = self._raw.read1(min(most, self._left), decode_content=False)
        if not piece:
            raise NetworkTrouble(
                f"{self._url} ended {self._left} bytes before the length it announced"
            )
        self._left -= len(piece)
        return piece


class RemoteStore:
    """The store at a URL, over one session that keeps its connection.

    For one thread; see :func:`remote_of`.

    Parameters
    ----------
    url
        Its address; project folders lie below.
    credential
        Name of the DataLad credential, or None for the one that fits the realm.
    connect_timeout, read_timeout
        Seconds: to be connected, and between two arrivals of bytes.

    Attributes
    ----------
    left_out
        Names in the listing that :meth:`visits` read last which give no visit.

    Raises
    ------
    UsageError
        The address has a user or a password in it: it would be written into datasets.
    """

    def __init__(
        self,
        url: str,
        credential: str | None = None,
        *,
        connect_timeout: float = 20.0,
        read_timeout: float = 60.0,
    ) -> None:
        self.url = without_login(url).rstrip("/")
        if self.url != url.rstrip("/"):
            raise UsageError(
                f"the store URL {self.url} was given with a user or password in it",
                hint="give it without, and the credential to DataLad "
                "(`datalad credentials set NAME …`)",
            )
        self.left_out: list[str] = []
        self._login = StoreLogin(self.url, credential)
        self._timeout = (connect_timeout, read_timeout)
        self._session: requests.Session | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the store that the settings name."""
        return cls(
            settings.store_url,
            settings.credential,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
        )

    @property
    def realm(self) -> str:
        """The store's name for its area, told when it asked for a log-in; empty before."""
        return self._login.realm

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next request opens them anew."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def head(self, storepath: str) -> RemoteFile:
        """Return what the store tells of the file at `storepath`.

        Raises
        ------
        StepError
            As :func:`of_status` and :func:`of_exception` say.
        """
        with self._request("HEAD", storepath) as answer:
            length = answer.headers.get("Content-Length", "")
            return RemoteFile(
                int(length) if length.isdecimal() else None,
                answer.headers.get("ETag"),
                answer.headers.get("Last-Modified"),
            )

    def md5sum(self, visit: Visit) -> str | None:
        """Return the MD5 (hex) that the store publishes for the visit's tarball.

        None if it publishes none. The file has one line, as ``md5sum`` writes it.

        Raises
        ------
        PermanentError
            The file is there and is something else.
        """
        storepath = f"{visit.project}/{visit.md5sum}"
        try:
            with self._request("GET", storepath) as answer:
                text = self._text(answer, limit=4096)
        except NotInStore:
            return None
        match = _MD5SUM.fullmatch(text)
        if match is None or match[2] != visit.tarball:
            raise PermanentError(
                f"{self.url}/{storepath} is not '<md5>  {visit.tarball}'",
                hint="have the file corrected or removed in the store, then "
                "`icfqueue retry`",
            )
        return match[1].lower()

    def visits(self, project: str) -> list[Visit]:
        """Return the visits whose tarball is in the project's directory listing, by id.

        Raises
        ------
        Unreachable
            The store does not answer, or answers that it cannot now.
        AccessDenied, NotInStore, PermanentError
            It refuses, has no such project, or sends no directory listing.
        BadId
            The project's name may not become a path.
        """
        check_id(project, "project")
        try:
            with self._request("GET", f"{project}/") as answer:
                address = answer.url or ""
                kind = answer.headers.get("Content-Type", "")
                text = self._text(answer)
        except TransientError as error:
            raise Unreachable(error.message, hint=error.hint) from None
        if "html" not in kind.lower():
            raise PermanentError(
                f"{self.url}/{project}/ sends {kind or 'no content type'}, "
                "not a directory listing in HTML",
                hint="name the visits (`--visits-file`), or switch the listing on",
            )
        self.left_out = unusable_in_listing(project, address, text)
        return visits_in_listing(project, address, text)

    @contextmanager
    def open(
        self, storepath: str, *, start: int = 0, known: RemoteFile | None = None
    ) -> Iterator[Download]:
        """Yield the file at `storepath` as a download.

        Parameters
        ----------
        storepath
            ``<project>/<visit>_dicom.tar``.
        start
            How many bytes are here already.
        known
            The file that they are from. Only if the store still has that one does the
            download start there; else it starts at 0.

        Raises
        ------
        StepError
            As :func:`of_status` and :func:`of_exception` say; PermanentError if the
            answer is no tarball of a known length.
        """
        headers = {}
        if start and known and known.validator:
            headers = {"Range": f"bytes={start}-", "If-Range": known.validator}
        with self._request("GET", storepath, headers) as answer:
            url = f"{self.url}/{storepath}"
            if not headers or answer.status_code == 200:  # noqa: PLR2004 - an HTTP status
                yield Download(answer, url, 0, _whole(answer, url))
                return
            if answer.status_code == 206 and known:  # noqa: PLR2004 - an HTTP status
                given = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                # Some servers know Range, but not If-Range.
                same = answer.headers.get("ETag") in {None, known.etag}
                if same and given and (int(given[1]), int(given[3])) == (start, known.size):
                    yield Download(answer, url, start, int(given[3]))
                    return
        # 416, or not the part that was asked for.
        with self._request("GET", storepath) as answer:
            yield Download(answer, url, 0, _whole(answer, url))

    @contextmanager
    def _request(
        self, method: str, storepath: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Yield the answer to one request; its body is not read yet."""
        url = f"{self.url}/{storepath}"
        with asking(url):
            answer = self._connect().request(
                method,
                url,
                headers=headers,
                stream=True,
                timeout=self._timeout,
                allow_redirects=True,
            )
        with answer:
            asked_for_part = bool(headers and "Range" in headers)
            if not answer.ok and not (answer.status_code == 416 and asked_for_part):  # noqa: PLR2004 - an HTTP status
                raise self._refused(answer, url)
            yield answer

    def _refused(self, answer: requests.Response, url: str) -> StepError:
        error = of_status(answer.status_code, url, answer.headers)
        if isinstance(error, AccessDenied) and self._login.refusal:
            error = AccessDenied(f"{error.message}: {self._login.refusal}", hint=error.hint)
        if answer.status_code == 401 and self._login.realm:  # noqa: PLR2004 - an HTTP status
            error.hint = (
                "`datalad credentials set NAME type=user_password "
                f"realm={self._login.realm} user=USER`, try it by `icfqueue doctor`, "
                "then `icfqueue retry`"
            )
        return error

    def _connect(self) -> requests.Session:
        if self._session is None:
            import requests

            self._session = requests.Session()
            self._session.max_redirects = MAX_REDIRECTS
            self._session.auth = self._login.auth()
            self._session.headers.update(
                # A compressed body would have another length, and no Range.
                {"User-Agent": f"icfqueue/{__version__}", "Accept-Encoding": "identity"}
            )
        return self._session

    def _text(self, answer: requests.Response, limit: int = 1 << 28) -> str:
        """Return the body as text; what is no UTF-8 is replaced, for ids are ASCII."""
        with asking(without_login(answer.url or self.url)):
            body: bytes = answer.raw.read(limit, decode_content=True)
        return body.decode(errors="replace")


def remote_of(options: Options, settings: Settings) -> RemoteStore:
    """Return the store of a visit; the same for as long as its thread asks for the same."""
    return _remote(
        options.store_url,
        options.credential,
        settings.connect_timeout,
        settings.read_timeout,
        # A forked child must not share its parent's connection, nor a thread another's.
        (os.getpid(), threading.get_ident()),
    )


@functools.lru_cache(maxsize=8)
def _remote(
    url: str, credential: str | None, connect: float, read: float, _: tuple[int, int]
) -> RemoteStore:
    return RemoteStore(url, credential, connect_timeout=connect, read_timeout=read)


def _whole(answer: requests.Response, url: str) -> int:
    """Return the length of a whole file that is about to arrive, in bytes."""
    kind = answer.headers.get("Content-Type", "")
    if kind.lower().startswith("text/html"):
        raise PermanentError(
            f"{url} is a web page, not a tarball",
            hint="open the address in a browser: the store may want another way to log in",
        )
    length = answer.headers.get("Content-Length", "")
    coding = answer.headers.get("Content-Encoding", "identity")
    if not length.isdecimal() or coding.lower() != "identity":
        raise PermanentError(
            f"{url} comes without a usable Content-Length, so that nobody could tell "
            "whether all of it has arrived",
            hint="have the store send tarballs as plain files",
        )
    return int(length)
