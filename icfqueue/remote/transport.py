"""Requests that end: one deadline for all of an answer's head, whatever it arrives in.

A timeout of a socket starts anew with each byte, so that a server which sends one byte
now and then keeps its client for ever. Here everything that is read over a connection
looks at one clock: status line, headers, interim answers (RFC 9110, 15.2), chunk sizes,
and the bodies of redirects and refusals, which are of no use and dropped.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from icfqueue.remote.download import Clock
from icfqueue.remote.sizes import size_of

SMALL = 1 << 16
"""Bytes of an unwanted body that are read to keep the connection; it is closed else."""


class Session(requests.Session):
    """A session whose answers end in time and whose log-in stays with its store.

    Parameters
    ----------
    clock
        Looked at whenever something is read.
    may_know
        Tells whether the address given may get the ``Authorization`` of the store.
    """

    def __init__(self, clock: Clock, may_know: Callable[[str], bool]) -> None:
        super().__init__()
        self._may_know = may_know
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(clock))

    def rebuild_auth(
        self,
        prepared_request: requests.PreparedRequest,
        response: requests.Response,  # noqa: ARG002 - the signature of requests
    ) -> None:
        """Take the log-in out of a redirect that leads elsewhere, and add none.

        ``requests`` would add one from ``~/.netrc``, whose ``default`` fits any host.
        """
        if not self._may_know(prepared_request.url or ""):
            prepared_request.headers.pop("Authorization", None)


class _Adapter(HTTPAdapter):
    """Makes connections that read by the clock, and drops bodies that nobody wants."""

    def __init__(self, clock: Clock) -> None:
        self._pools = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, clock),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, clock),
        }
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have the pools make our connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Have a proxy's pools make our connections; SOCKS has connections of its own."""
        manager = super().proxy_manager_for(*args, **kwargs)
        if manager.proxy is not None:
            manager.pool_classes_by_scheme = self._pools
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Return the answer; of a redirect or a refusal the head alone."""
        answer = super().send(*args, **kwargs)
        if answer.is_redirect or not answer.ok:
            _drop_body(answer)
        return answer


def _drop_body(answer: requests.Response) -> None:
    """Let go of a body, so that nobody unpacks or waits for it.

    Both ``requests`` and DataLad would read it whole before they go on.
    """
    size = size_of(answer.headers.get("Content-Length", ""))
    if size is not None and size <= SMALL:
        # urllib3 does not even look when nothing is asked for, and would not let go.
        answer.raw.read(max(1, size), decode_content=False)
        answer.raw.release_conn()
    else:
        answer.raw.close()
    # What `Response.content` looks at: there is no other way to say that it was read.
    answer._content = b""  # noqa: SLF001 - requests has no public way
    answer._content_consumed = True  # type: ignore[attr-defined]  # nor types  # noqa: SLF001 - the same


def _pool(pool: Any, connection: Any, clock: Clock) -> Any:
    """Return a class of pools whose connections read by `clock`."""

    def respond(_: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> _Response:
        return _Response(clock, sock, *args, **kwargs)

    ours = type(connection.__name__, (connection,), {"response_class": respond})
    return type(pool.__name__, (pool,), {"ConnectionCls": ours})


class _Response(http.client.HTTPResponse):
    """An answer that is read by the clock."""

    def __init__(
        self, clock: Clock, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_Timed(raw, sock, clock))


class _Timed(io.RawIOBase):
    """The bytes of a socket, for which nobody waits beyond the clock's end."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, clock: Clock) -> None:
        self._raw = raw
        self._sock = sock
        self._clock = clock

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read as the socket does, but not longer than the clock allows."""
        left = self._clock.left()
        usual = self._sock.gettimeout()
        if left == float("inf") or (usual is not None and usual <= left):
            return self._raw.readinto(buffer)
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(usual)

    def close(self) -> None:
        """Close the socket's side, too."""
        if not self.closed:
            self._raw.close()
        super().close()
