"""A store on the web, small enough for one machine: ``icfqueue demo`` and the tests.

It answers as the institute's Apache does where that matters: Basic authentication
(RFC 7617), a directory listing like mod_autoindex's, entity tags, Range and If-Range
(RFC 9110, sections 13 and 14). It serves one folder on loopback, read-only; names with a
leading dot and whatever a symbolic link leads outside do not exist for it.

By hand: ``python -m icfqueue.demo.server FOLDER --port 8080``.
"""

from __future__ import annotations

import argparse
import base64
import email.utils
import hmac
import mimetypes
import os
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from icfqueue.demo.listing import listing

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


class Span(NamedTuple):
    """The part of a file to send: its first byte and how many."""

    start: int
    length: int


class DemoStore:
    """A folder served over HTTP/1.1 on loopback, from threads of this process.

    Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    root
        The folder to serve.
    user, password, realm
        What Basic authentication asks for, for every path.
    auth
        False serves everybody.
    port
        0 takes a free one.

    Attributes
    ----------
    url
        Address of the folder, without a trailing slash and without the password.
    requests
        How often (method, path, status) was answered; the path is as it was asked for.
    """

    def __init__(
        self,
        root: Path,
        *,
        user: str = "demo",
        password: str = "demo",  # noqa: S107 - guards shipped example data on loopback
        realm: str = "demo store",
        auth: bool = True,
        port: int = 0,
    ) -> None:
        self.root = Path(root).resolve(strict=True)
        self.user, self.password, self.realm, self.auth = user, password, realm, auth
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self.handler())
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="demo store",
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

    def count(
        self, method: str | None = None, path: str | None = None, status: int | None = None
    ) -> int:
        """Return how many requests were answered that match what is given."""
        with self.lock:
            return sum(
                times
                for (a, b, c), times in self.requests.items()
                if method in {None, a} and path in {None, b} and status in {None, c}
            )

    def allows(self, authorization: str | None) -> bool:
        """Tell whether this ``Authorization`` header opens the store."""
        if not self.auth:
            return True
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        wanted = f"Basic {secret}".encode()
        return hmac.compare_digest((authorization or "").encode(), wanted)

    def find(self, path: str) -> Path | None:
        """Return the file or folder that a URL path means, or None.

        Parameters
        ----------
        path
            Percent-encoded, without the query, starting with ``/``.
        """
        names = [name for name in urllib.parse.unquote(path).split("/") if name]
        if any(name.startswith(".") or "\0" in name for name in names):
            return None
        try:
            found = self.root.joinpath(*names).resolve(strict=True)
        except OSError:
            return None
        return found if found.is_relative_to(self.root) else None


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    store: DemoStore
    protocol_version = "HTTP/1.1"
    server_version = "icfqueue-demo"
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
        if not self.store.allows(self.headers.get("Authorization")):
            challenge = f'Basic realm="{self.store.realm}", charset="UTF-8"'
            self.send_page(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
            return
        found = self.store.find(path)
        if found is None:
            self.send_page(HTTPStatus.NOT_FOUND)
        elif found.is_file():
            self.send_file(found)
        elif not path.endswith("/"):
            self.send_page(HTTPStatus.MOVED_PERMANENTLY, headers={"Location": f"{path}/"})
        elif (found / "index.html").is_file():
            self.send_file(found / "index.html")
        else:
            page = listing(found, urllib.parse.unquote(path), query)
            self.send_page(HTTPStatus.OK, page)

    def send_page(
        self,
        status: HTTPStatus,
        page: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a page of HTML; without one, a page that names the status."""
        body = (page or f"<h1>{status.value} {status.phrase}</h1>\n").encode()
        self.send_head(
            status,
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Length": str(len(body)),
                **(headers or {}),
            },
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, path: Path) -> None:
        """Send the file at `path`, or the part of it that was asked for."""
        try:
            file = path.open("rb")
        except OSError:
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
        """Send status line and headers, and count the answer."""
        path = self.path.partition("?")[0]
        with self.store.lock:
            self.store.requests[self.command, path, status.value] += 1
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the demo's terminal shows progress."""


class _Server(ThreadingHTTPServer):
    """Remembers its connections, so that closing the store cuts them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[Handler]) -> None:
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


def main() -> None:
    """Serve a folder until Ctrl-C."""
    parser = argparse.ArgumentParser(description="serve a folder as the demo's store")
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="demo")
    parser.add_argument("--no-auth", action="store_true", help="ask for no password")
    given = parser.parse_args()
    # The password comes by the environment: arguments can be read by every user.
    password = os.environ.get("ICFQUEUE_DEMO_PASSWORD", "demo")
    with (
        suppress(KeyboardInterrupt),
        DemoStore(
            given.root,
            user=given.user,
            password=password,
            auth=not given.no_auth,
            port=given.port,
        ) as store,
    ):
        print(store.url, flush=True)  # noqa: T201 - it is a command
        threading.Event().wait()


if __name__ == "__main__":
    main()
