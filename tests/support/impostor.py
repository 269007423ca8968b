"""A server that is no Redis and no Valkey, where a broker is to be.

::

    with Impostor(greeting=b"SSH-2.0-x\\r\\n") as other:
        other.broker.check()
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

import redis

from icfqueue.broker.connection import Broker

IMPOSTORS: dict[str, tuple[bytes, bytes]] = {
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
    "http": (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "pop3": (b"+OK POP3 ready\r\n", b"-ERR what\r\n"),
    "imap": (b"* OK IMAP4 ready\r\n", b"? BAD what\r\n"),
    "refuses all": (b"", b"-ERR unknown command\r\n"),
}
"""What servers say at first, and to whatever they are told."""

if redis.__version__.startswith("7."):
    # That release speaks RESP2 at first, in which +OK is a good answer: the broker then
    # "refuses the password" or "does not answer".
    del IMPOSTORS["pop3"]


class Impostor:
    """Says `greeting` to who connects, and `answer` to whatever it is told.

    Attributes
    ----------
    connections
        How many there were.
    """

    def __init__(self, greeting: bytes = b"", answer: bytes = b"") -> None:
        self._greeting = greeting
        self._answer = answer
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.broker = Broker(f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0")

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that waits for somebody.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.sendall(self._greeting)
            while client.recv(4096):
                client.sendall(self._answer)
