"""The server of a store directory: ``icfqueue serve``, ``icfqueue demo`` and the tests.

It answers as the institute's Apache does where that matters: Basic authentication
(RFC 7617), a directory listing like mod_autoindex's, entity tags, Range and If-Range
(RFC 9110, sections 13 and 14). It only reads; names with a leading dot do not exist for
it, and it goes below the store directory as workers do (:mod:`icfqueue.store.beneath`),
following no link but those that the site lets its workers follow. Python's own server has
neither ranges nor passwords, and follows all.
"""

from __future__ import annotations

import base64
import email.utils
import mimetypes
import os
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, Self, cast

from icfqueue.core.errors import UnsafePath
from icfqueue.serve.landing import POLICY
from icfqueue.serve.listing import listing, visible
from icfqueue.store.reading import StoreReader

LOOPBACK = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".md5sum": "text/plain; charset=utf-8",
    ".tar": "application/x-tar",
}
"""Content types that must not depend on the machine's own tables."""

IDLE = 30.0
"""Seconds after which a silent connection is closed."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)

_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
"""What may be shown of a ``Host`` header (RFC 9110, 7.2)."""


class Span(NamedTuple):
    """The part of a file to send: its first byte and how many."""

    start: int
    length: int


class Login(Protocol):
    """Who may enter."""

    def opens(self, user: str, password: str) -> bool:
        """Tell whether `user` has this password."""


class StoreServer:
    """A store directory served over HTTP/1.1, from threads of this process.

    Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    reader
        The store directory.
    login
        Who may enter; None lets everybody in.
    realm
        What Basic authentication asks for, for every path.
    host, port
        Where to listen; port 0 takes a free one.
    names
        Names by which it may be asked for (``Host``); None allows any. Where no password
        is needed, a page of another site must not reach it by a name of its own.
    home
        Makes the page at the top, from the address that who asks has reached; without it
        there is a listing.

    Attributes
    ----------
    url
        Address of the folder, without a trailing slash and without a password.
    """

    def __init__(
        self,
        reader: StoreReader,
        *,
        login: Login | None = None,
        realm: str = "icfqueue",
        host: str = LOOPBACK,
        port: int = 0,
        names: Collection[str] | None = None,
        home: Callable[[str], str] | None = None,
    ) -> None:
        self.reader = reader
        self.root = reader.root
        self.login, self.realm, self.home, self.names = login, realm, home, names
        self._server = _Server((host, port), self.handler())
        self.port = int(self._server.server_address[1])
        everywhere = host in {"", "0.0.0.0", "::"}  # noqa: S104 - no address to open
        named = socket.gethostname() if everywhere else host
        self.url = f"http://{f'[{named}]' if ':' in named else named}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="store",
            daemon=True,
        )
        self._thread.start()

    def handler(self) -> type[Handler]:
        """Return the class that answers requests; tests put faults in here."""
        return type("BoundHandler", (Handler,), {"store": self})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every open connection."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut()

    def answered(self, method: str, path: str, status: int) -> None:
        """Be told of each answer, with the path as it was asked for; nobody counts."""

    def allows(self, authorization: str | None) -> bool:
        """Tell whether this ``Authorization`` header opens the store (RFC 7617)."""
        if self.login is None:
            return True
        scheme, _, word = (authorization or "").partition(" ")
        try:
            text = base64.b64decode(word.strip(), validate=True).decode()
        except ValueError:
            return False
        user, colon, password = text.partition(":")
        return (
            scheme.lower() == "basic" and bool(colon) and self.login.opens(user, password)
        )

    def find(self, path: str) -> Path | None:
        """Return the file or folder that a URL path means, or None.

        Nothing hidden is found, and nothing that a link leads to, but those that the site
        lets its workers follow (the setting `store_links`).

        Parameters
        ----------
        path
            Percent-encoded, without the query, starting with ``/``.
        """
        names = [name for name in urllib.parse.unquote(path).split("/") if name]
        if any(name.startswith(".") or "\0" in name for name in names):
            return None
        found = self.root.joinpath(*names)
        try:
            return found if self.reader.exists(found) else None
        except (OSError, UnsafePath):
            return None


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    store: StoreServer
    protocol_version = "HTTP/1.1"
    server_version = "icfqueue"
    sys_version = ""
    timeout = IDLE
    # Head and body are written one after the other; waiting for the acknowledgement of
    # the first would cost 40 ms a request.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        """Send a file, a folder's index page or its listing."""
        self.answer()

    def do_HEAD(self) -> None:
        """Send the head of what GET would send."""
        self.answer()

    def answer(self) -> None:
        """Answer one request."""
        path, _, query = self.path.partition("?")
        host = self.headers.get("Host", "")
        if self.store.names is not None and _bare(host) not in self.store.names:
            self.send_page(HTTPStatus.MISDIRECTED_REQUEST)
            return
        if not self.store.allows(self.headers.get("Authorization")):
            challenge = f'Basic realm="{self.store.realm}", charset="UTF-8"'
            self.send_page(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
            return
        found = self.store.find(path)
        if found is None:
            self.send_page(HTTPStatus.NOT_FOUND)
        elif not self.store.reader.is_folder(found):
            self.send_file(found)
        elif not path.endswith("/"):
            # One slash: with two it would be the address of another host.
            location = f"/{path.lstrip('/')}/"
            self.send_page(HTTPStatus.MOVED_PERMANENTLY, headers={"Location": location})
        elif found == self.store.root and self.store.home:
            self.send_page(HTTPStatus.OK, self.store.home(self.address(host)))
        elif index := self.store.find(f"{path}index.html"):
            self.send_file(index)
        else:
            entries = visible(self.store.reader, found)
            page = listing(entries, urllib.parse.unquote(path), query)
            self.send_page(HTTPStatus.OK, page)

    def address(self, host: str) -> str:
        """Return the address by which who asks has reached the store, for showing."""
        if not _HOST.fullmatch(host):
            return self.store.url
        # As a server with TLS before this one says it.
        safe = self.headers.get("X-Forwarded-Proto") == "https"
        return f"{'https' if safe else 'http'}://{host}"

    def send_page(
        self,
        status: HTTPStatus,
        page: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a page of HTML; without one, a page that names the status."""
        text = page or f"<h1>{status.value} {status.phrase}</h1>\n"
        body = text.encode(errors="replace")
        self.send_head(
            status,
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Length": str(len(body)),
                "Content-Security-Policy": POLICY,
                "Referrer-Policy": "no-referrer",
                **(headers or {}),
            },
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, path: Path) -> None:
        """Send the file at `path`, or the part of it that was asked for."""
        try:
            file = cast("BinaryIO", self.store.reader.open_read(path))
        except (OSError, UnsafePath):
            self.send_page(HTTPStatus.FORBIDDEN)
            return
        with file:
            about = os.fstat(file.fileno())
            headers = validators(about.st_size, about.st_mtime_ns)
            headers["Accept-Ranges"] = "bytes"
            span = self.span(about.st_size, headers)
            if span is None:
                headers = {"Content-Range": f"bytes */{about.st_size}"}
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                self.send_page(status, headers=headers)
                return
            status = HTTPStatus.OK
            if span != Span(0, about.st_size):
                status = HTTPStatus.PARTIAL_CONTENT
                last = span.start + span.length - 1
                headers["Content-Range"] = f"bytes {span.start}-{last}/{about.st_size}"
            headers["Content-Type"] = content_type(path)
            headers["Content-Length"] = str(span.length)
            self.send_head(status, headers)
            if self.command != "HEAD" and span.length:
                self.wfile.flush()
                self.send_bytes(file, span)

    def span(self, size: int, validator: Mapping[str, str]) -> Span | None:
        """Return which bytes the request is for, None if there are no such bytes."""
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        whole = Span(0, size)
        if self.command != "GET" or wanted is None:
            return whole
        if condition is not None and condition not in validator.values():
            return whole
        match = _RANGE.fullmatch(wanted.strip())
        if match is None or match.groups() == ("", ""):
            return whole  # several ranges, or another unit: may be ignored
        first, last = match.groups()
        if not first:
            length = min(int(last), size)
            return Span(size - length, length) if length else None
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return whole
        return Span(start, end - start) if start < size else None

    def send_bytes(self, file: BinaryIO, span: Span) -> None:
        """Send the bytes of `span`."""
        self.connection.sendfile(file, span.start, span.length)

    def send_head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        """Send status line and headers."""
        self.store.answered(self.command, self.path.partition("?")[0], status.value)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a proxy before it has a log."""


class _Server(ThreadingHTTPServer):
    """Remembers its connections, so that closing the store cuts them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[Handler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no news."""

    def cut(self) -> None:
        """Cut the connections that are still open."""
        until = time.monotonic() + 5
        while self.open and time.monotonic() < until:
            for connection in list(self.open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            time.sleep(0.005)


def _bare(host: str) -> str:
    """Return the name in a ``Host`` header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def validators(size: int, mtime_ns: int) -> dict[str, str]:
    """Return the headers by which a client knows a file again (RFC 9110, 8.8).

    Parameters
    ----------
    size
        Bytes.
    mtime_ns
        Time of the last change, in nanoseconds since 1970.
    """
    modified = email.utils.formatdate(mtime_ns // 10**9, usegmt=True)
    return {"ETag": f'"{size:x}-{mtime_ns // 1000:x}"', "Last-Modified": modified}


def content_type(path: Path) -> str:
    """Return the media type of the file at `path`."""
    known = TYPES.get(path.suffix)
    return known or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
