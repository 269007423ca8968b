"""A store on the web that fails on demand.

::

    with FaultyStore(root) as web:
        web.fail("status", status=503, headers={"Retry-After": "2"}, times=3)
        web.fail("cut", path="*_dicom.tar", after=100_000)
        ...
        web.clear()

A fault strikes the first `times` requests that match it (None: all of them), after the
first `skip` were let through. The oldest fault that matches strikes; one per request.
Counting and switching are safe from any thread.
"""

from __future__ import annotations

import fnmatch
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Literal

from icfqueue.demo.server import DemoStore
from icfqueue.serve.server import Handler, Span

Kind = Literal[
    "status",  # answer `status` with `headers`
    "reset",  # reset the connection after `after` bytes of the body (0: before the head)
    "cut",  # end the connection in good order after `after` bytes of the body
    "stall",  # send nothing more after `after` bytes, until cleared or closed
    "slow",  # send `rate` bytes a second, until cleared or `over` is set
    "wrong",  # turn the byte at offset `after` of the file round
    "no_range",  # ignore Range: always the whole file, with 200
    "no_if_range",  # ignore If-Range: a part of whatever is there now
    "range_not_satisfiable",  # 416 to every Range
    "no_length",  # no Content-Length: the end of the connection ends the body
    "chunked",  # chunked; a truncated one if `after` is given
    "page",  # 200 with a web page, as a log-in portal sends
    "redirect",  # 302 to `location`
    "no_validators",  # neither ETag nor Last-Modified
]


@dataclass
class Fault:
    """One fault and how often it struck."""

    kind: Kind
    path: str = "*"
    method: str | None = None
    times: int | None = 1
    skip: int = 0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    rate: int = 100_000
    location: str = ""
    struck: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def matches(self, method: str, path: str) -> bool:
        return fnmatch.fnmatchcase(path, self.path) and self.method in {None, method}


class FaultyStore(DemoStore):
    """The demo's store, with faults; ``seen`` has each request's method, path, headers."""

    def __init__(self, root: Path, **given: Any) -> None:
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()
        super().__init__(root, **given)

    def handler(self) -> type[Handler]:
        return type("BoundHandler", (_FaultyHandler,), {"store": self})

    def fail(self, kind: Kind, **how: Any) -> Fault:
        """Add a fault; see :class:`Fault` for `how`."""
        fault = Fault(kind, **how)
        with self.lock:
            self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget every fault and let go of whoever is stalled."""
        with self.lock:
            self.faults.clear()
        self.released.set()
        self.released = threading.Event()

    def close(self) -> None:
        self.clear()
        super().close()

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes this request."""
        with self.lock:
            for fault in self.faults:
                if not fault.matches(method, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is None or fault.struck < fault.times:
                    fault.struck += 1
                    return fault
        return None


class _FaultyHandler(Handler):
    store: FaultyStore
    fault: Fault | None = None

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        with self.store.lock:
            self.store.seen.append((self.command, path, dict(self.headers)))
        # A fault is kept for a request that would have been answered: the challenge for
        # the password must not use it up.
        allowed = self.store.allows(self.headers.get("Authorization"))
        self.fault = self.store.strike(self.command, path) if allowed else None
        kind = self.fault.kind if self.fault else None
        if self.fault is None or not self._instead(self.fault):
            if kind == "no_range":
                del self.headers["Range"]
            if kind == "no_if_range":
                del self.headers["If-Range"]
            super().answer()

    def _instead(self, fault: Fault) -> bool:
        """Answer with the fault alone; False if it only spoils the real answer."""
        if fault.kind == "status":
            self.send_page(HTTPStatus(fault.status), headers=fault.headers)
        elif fault.kind == "redirect":
            self.send_page(HTTPStatus.FOUND, headers={"Location": fault.location})
        elif fault.kind == "page":
            self.send_page(HTTPStatus.OK, "<html><body>Please log in</body></html>")
        elif fault.kind == "range_not_satisfiable" and "Range" in self.headers:
            self.send_page(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        elif fault.kind == "reset" and not fault.after:
            self._reset()
        elif fault.kind in {"stall", "cut"} and fault.after is None:
            if fault.kind == "stall":
                self.store.released.wait(60)
            self.close_connection = True
        else:
            return False
        return True

    def send_head(self, status: HTTPStatus, headers: Any) -> None:
        kind = self.fault.kind if self.fault else None
        headers = dict(headers)
        if kind in {"no_length", "chunked"} and status < HTTPStatus.MULTIPLE_CHOICES:
            headers.pop("Content-Length", None)
            if kind == "chunked":
                headers["Transfer-Encoding"] = "chunked"
            else:
                headers["Connection"] = "close"
                self.close_connection = True
        if kind == "no_validators":
            headers.pop("ETag", None)
            headers.pop("Last-Modified", None)
        super().send_head(status, headers)

    def send_bytes(self, file: BinaryIO, span: Span) -> None:
        fault = self.fault
        if fault is None:
            super().send_bytes(file, span)
            return
        after = min(fault.after or 0, span.length)
        if fault.kind in {"reset", "cut", "stall"}:
            super().send_bytes(file, Span(span.start, after))
            if fault.kind == "reset":
                self._reset()
            if fault.kind == "stall":
                self.store.released.wait(60)
            self.close_connection = True
            return
        file.seek(span.start)
        content = bytearray(file.read(span.length))
        if fault.kind == "wrong" and span.start <= (fault.after or 0) < span.start + len(
            content
        ):
            content[(fault.after or 0) - span.start] ^= 0xFF
        if fault.kind == "slow":
            self._drip(content, fault)
        elif fault.kind == "chunked":
            cut = len(content) if fault.after is None else after
            self._chunks(content[:cut], whole=fault.after is None)
        else:
            self.wfile.write(content)
            self.wfile.flush()

    def _drip(self, content: bytes, fault: Fault) -> None:
        step = max(1, fault.rate // 20)
        released = self.store.released
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            self.wfile.flush()
            if not released.is_set() and not fault.over.is_set():
                time.sleep(step / fault.rate)

    def _chunks(self, content: bytes, *, whole: bool) -> None:
        for start in range(0, len(content), 65_536):
            piece = content[start : start + 65_536]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if whole:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = not whole

    def _reset(self) -> None:
        self.wfile.flush()
        # Closing with a linger time of 0 sends RST instead of FIN (socket(7)).
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.close_connection = True
        self.connection.close()
