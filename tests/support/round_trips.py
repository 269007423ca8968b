"""Counts round trips to the broker: what is sent before anything is waited for is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.connection import AbstractConnection


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """Yield the beginnings of what this thread sends to brokers, one for each round trip.

    A pipeline is sent at once, and is one. What a heartbeat's thread sends is not waited
    for.
    """
    sent: list[str] = []
    this = threading.get_ident()
    send = AbstractConnection.send_packed_command

    def counting(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == this:
            whole = command if isinstance(command, bytes) else b"".join(map(bytes, command))
            sent.append(
                " ".join(word.decode("latin-1") for word in whole.split(b"\r\n")[2:20:2])
            )
        return send(connection, command, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", counting)
        yield sent
