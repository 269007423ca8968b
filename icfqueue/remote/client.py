"""The store on the web: what it has, and one download from it.

Whatever goes wrong becomes one of our errors in :mod:`icfqueue.remote.http_errors`.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from icfqueue import __version__
from icfqueue.core.errors import (
    AccessDenied,
    NotInStore,
    PermanentError,
    StepError,
    TransientError,
    Unreachable,
    UsageError,
)
from icfqueue.core.options import Options
from icfqueue.core.plain_text import shown
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit, check_id
from icfqueue.remote.download import Clock, Download, Pace, RemoteFile, page, whole_length
from icfqueue.remote.http_errors import MAX_REDIRECTS, asking, of_status, without_login
from icfqueue.remote.listing import Listing
from icfqueue.remote.login import StoreLogin
from icfqueue.remote.sizes import range_of, told_size

if TYPE_CHECKING:
    import requests

MAX_PAGE = 1 << 29
"""Bytes of a directory listing: twice what Apache sends for a million files."""

LISTING_TIME = 600.0
"""Seconds that a listing may take in all, unless said otherwise."""

_SMALL_FILE = 4096
"""Bytes that are looked at of a file with an MD5 or with refs; it has about 150."""

_MD5SUM = re.compile(r"([0-9A-Fa-f]{32}) [ *]([^\n/]+)\n?")


class RemoteStore:
    """The store at a URL, for one thread, over one session that keeps its connection.

    Parameters
    ----------
    url
        Its address; project folders lie below.
    credential
        Name of the DataLad credential, or None for the one that fits the realm.
    own
        The store URL of this process' settings, None if `url` is: only its origin gets
        a credential (:class:`~icfqueue.remote.login.StoreLogin`).
    connect_timeout, read_timeout
        Seconds: to be connected, and between two arrivals of bytes. Together they are
        what the head of an answer, or an md5sum file, may take in all, its redirects and
        the log-in included.
    listing_time
        Seconds that a directory listing may take in all.
    least_rate
        Bytes a second, averaged over `read_timeout`, at which a body must come.

    Attributes
    ----------
    left_out, more_left_out, sizes
        Of the listing that :meth:`visits` read last: names which give no visit, how many
        more there are, and bytes by visit id as far as they are told.

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
        own: str | None = None,
        connect_timeout: float = 20.0,
        read_timeout: float = 60.0,
        listing_time: float = LISTING_TIME,
        least_rate: float = 2000.0,
    ) -> None:
        self.url = without_login(url).rstrip("/")
        if self.url != url.rstrip("/"):
            raise UsageError(
                f"the store URL {self.url} was given with a user or password in it",
                hint="give it without, and the credential to DataLad "
                "('datalad credentials set NAME type=user_password user=USER')",
            )
        self.left_out, self.more_left_out = list[str](), 0
        self.sizes = dict[str, int]()
        self._login = StoreLogin(self.url, credential, own)
        self._timeout = (connect_timeout, read_timeout)
        self._listing_time = listing_time
        self._least_rate = least_rate
        self._clock = Clock()
        self._session: requests.Session | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the store that the settings name, asked as patiently as they say."""
        return cls(
            settings.store_url,
            settings.credential,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            least_rate=settings.least_rate,
        )

    @property
    def realm(self) -> str:
        """What the store called its area when it asked for a log-in; empty before."""
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

    def knock(self) -> int:
        """Return the status with which the store answers at its address, not logged in.

        Raises
        ------
        StepError
            As :func:`of_exception` says.
        """
        self._clock.start(sum(self._timeout))
        with asking(self.url):
            answer = self._connect().request(
                "HEAD",
                f"{self.url}/",
                stream=True,
                timeout=self._timeout,
                allow_redirects=False,
                auth=lambda request: request,
            )
        with answer:
            return answer.status_code

    def head(self, storepath: str) -> RemoteFile:
        """Return what the store tells of the file at `storepath`.

        Raises
        ------
        StepError
            As :func:`of_status` and :func:`of_exception` say; PermanentError if what it
            tells is no size.
        """
        with self._request("HEAD", storepath) as answer:
            return RemoteFile(
                told_size(answer.headers.get("Content-Length"), f"{self.url}/{storepath}"),
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
                text = self._start_of(answer, storepath)
        except NotInStore:
            return None
        match = _MD5SUM.fullmatch(text)
        if match is None or match[2] != visit.tarball:
            raise PermanentError(
                f"{self.url}/{storepath} is not '<md5>  {visit.tarball}'",
                hint="have the file corrected or removed, then "
                "'icfqueue retry PROJECT VISIT'",
                cause="store-answer",
            )
        return match[1].lower()

    def text(self, storepath: str) -> str:
        """Return the first bytes of the small text file at `storepath`: 4 kB at most.

        Raises
        ------
        AccessDenied, NotInStore, PermanentError
            The store refuses, or does not have it.
        Unreachable
            It does not answer, or answers that it cannot now.
        """
        try:
            with self._request("GET", storepath) as answer:
                return self._start_of(answer, storepath)
        except TransientError as error:
            raise Unreachable(error.message, hint=error.hint) from None

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
                listing = self._listing(project, answer)
        except TransientError as error:
            raise Unreachable(error.message, hint=error.hint) from None
        self.left_out, self.more_left_out = listing.left_out(), listing.more_left_out
        self.sizes = listing.sizes
        return listing.visits()

    def _listing(self, project: str, answer: requests.Response) -> Listing:
        """Return what the page tells that is about to arrive."""
        url = f"{self.url}/{project}/"
        kind = answer.headers.get("Content-Type", "")
        if "html" not in kind.lower():
            raise PermanentError(
                f"{url} sends {shown(kind) or 'no content type'}, "
                "not a directory listing in HTML",
                hint="have the store list its files, or name the visits: 'icfqueue run "
                f"{project} --visits-file FILE'",
                cause="store-answer",
            )
        self._clock.start(self._listing_time)
        listing = Listing(project, answer.url or url)
        for piece in page(answer, self._pace(url), MAX_PAGE):
            listing.feed(piece)
        listing.close()
        return listing

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
            if not headers or answer.status_code == HTTPStatus.OK:
                yield self._download(answer, url, 0, whole_length(answer, url))
                return
            if answer.status_code == HTTPStatus.PARTIAL_CONTENT and known:
                given = range_of(answer.headers.get("Content-Range", ""))
                # Some servers know Range, but not If-Range.
                same = answer.headers.get("ETag") in {None, known.etag}
                if same and given and given[::2] == (start, known.size):
                    yield self._download(answer, url, start, given[2])
                    return
        # 416, or not the part that was asked for.
        with self._request("GET", storepath) as answer:
            yield self._download(answer, url, 0, whole_length(answer, url))

    def _download(
        self, answer: requests.Response, url: str, start: int, size: int
    ) -> Download:
        # From here on the rate counts, for it may be long.
        self._clock.start(float("inf"))
        return Download(answer, start, size, self._pace(url))

    def _pace(self, url: str) -> Pace:
        return Pace(url, self._least_rate, self._timeout[1], self._clock)

    @contextmanager
    def _request(
        self, method: str, storepath: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Yield the answer to one request; its body is not read yet."""
        url = f"{self.url}/{storepath}"
        self._clock.start(sum(self._timeout))
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
            beyond = answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            if not answer.ok and not (beyond and asked_for_part):
                raise self._refused(answer, url)
            yield answer

    def _refused(self, answer: requests.Response, url: str) -> StepError:
        error = of_status(answer.status_code, url, answer.headers)
        if isinstance(error, AccessDenied) and self._login.refusal:
            error.message += f": {self._login.refusal}"
        if isinstance(error, AccessDenied) and self._login.elsewhere:
            error.elsewhere = not error.forbidden
            error.hint = self._login.remedy
        elif answer.status_code == HTTPStatus.UNAUTHORIZED and self._login.realm:
            realm = shlex.quote(f"realm={shown(self._login.realm)}")
            do = f"`datalad credentials set NAME type=user_password {realm} user=USER`"
            error.hint = f"{do}, then 'icfqueue retry PROJECT --cause access'"
        return error

    def _connect(self) -> requests.Session:
        if self._session is None:
            from icfqueue.remote.transport import Session

            self._session = Session(self._clock, self._login.covers)
            self._session.max_redirects = MAX_REDIRECTS
            self._session.auth = self._login.auth()
            self._session.headers.update(
                # A compressed body would have another length, and no Range.
                {"User-Agent": f"icfqueue/{__version__}", "Accept-Encoding": "identity"}
            )
        return self._session

    def _start_of(self, answer: requests.Response, storepath: str) -> str:
        """Return the first bytes of a small body; what is no UTF-8 in it is replaced."""
        body = b""
        for piece in page(answer, self._pace(f"{self.url}/{storepath}"), MAX_PAGE):
            body += piece
            if len(body) > _SMALL_FILE:
                break
        return body[:_SMALL_FILE].decode(errors="replace")


def remote_of(options: Options, settings: Settings) -> RemoteStore:
    """Return the store of a visit; the same for as long as its thread asks for the same."""
    return _remote(
        options.store_url,
        options.credential,
        settings.store_url,
        (settings.connect_timeout, settings.read_timeout, settings.least_rate),
        # A forked child must not share its parent's connection, nor a thread another's.
        (os.getpid(), threading.get_ident()),
    )


@functools.lru_cache(maxsize=8)
def _remote(
    url: str,
    credential: str | None,
    own: str,
    patience: tuple[float, float, float],
    _: tuple[int, int],
) -> RemoteStore:
    connect, read, rate = patience
    return RemoteStore(
        url,
        credential,
        own=own,
        connect_timeout=connect,
        read_timeout=read,
        least_rate=rate,
    )
