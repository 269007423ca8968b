"""A server that sends bytes as they are written down, for what no library would send.

::

    def answer(path: str) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\\r\\n"
        ...

    with RawServer(answer) as web:
        RemoteStore(web.url)

Each piece is sent at once; `answer` may wait in between. The connection ends after it.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

Answer = Callable[[str], Iterator[bytes]]

ROW = (
    '<tr><td valign="top"><img src="/icons/unknown.gif" alt="[   ]"></td><td>'
    '<a href="{0}">{0}</a></td><td align="right">2023-01-01 10:00  </td>'
    '<td align="right">1.0M</td><td>&nbsp;</td></tr>\n'
)
"""A line of a listing as Apache writes it."""


class RawServer:
    """Answers each request with what `answer` yields for its path.

    Attributes
    ----------
    over
        Set when the server closes: whoever waits in `answer` waits for this.
    heads
        The requests, as they came.
    """

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.over = threading.Event()
        self.heads: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := connection.recv(65536)):
                    return
                head += piece
            self.heads.append(head.decode("latin-1"))
            for piece in self.answer(head.split()[1].decode("latin-1")):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def head(status: str = "200 OK", **headers: str) -> bytes:
    """Return the head of an answer; ``_`` in a header's name is ``-``."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""]).encode(
        "latin-1"
    )


def listing(names: Iterator[str]) -> Iterator[bytes]:
    """Yield a page that lists `names`, a thousand lines at a time."""
    yield head(Content_Type="text/html")
    yield b"<html><body><h1>Index of /study_1</h1><table>\n"
    lines: list[str] = []
    for name in names:
        lines.append(ROW.format(name))
        if len(lines) == 1000:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode() + b"</table></body></html>\n"
