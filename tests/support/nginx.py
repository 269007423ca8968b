"""A real nginx before a store directory: a password, ranges, and a log of what it sent."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from support.needs import program
from support.valkey import free_port

USER, PASSWORD, REALM = "reader", "s3cret", "study area"

CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    log_format sent escape=json '{{"path":"$uri","status":$status,"sent":$bytes_sent,'
        '"range":"$http_range"}}';
    access_log {folder}/access.log sent;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""

SERVER = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        autoindex on;
        auth_basic "{realm}";
        auth_basic_user_file {folder}/users;
        {more}
        location ~ /\\.icfqueue {{ return 404; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """One answer: path, status, bytes with headers, and the range that was asked for."""

    path: str
    status: int
    sent: int
    range: str


class Nginx:
    """One server; used as a context manager.

    Parameters
    ----------
    folder
        For its configuration and logs.
    root
        What it serves.
    more
        Further lines of the ``server`` block.
    """

    def __init__(self, folder: Path, root: Path, more: str = "") -> None:
        self.folder = folder
        self.root = root
        self.more = more
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, perhaps with another configuration than before."""
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        (self.folder / "users").chmod(0o644)
        config = self.folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                # Else its workers take another user's rights, who may not read the files.
                user="user root;" if os.geteuid() == 0 else "",
                folder=self.folder,
                server=self.server_block(),
            )
        )
        nginx = program("nginx", "nginx-light")
        self.process = subprocess.Popen(
            [nginx, "-c", str(config), "-e", str(self.folder / "error.log")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 20
        while not (self.folder / "pid").exists() or not self._answers():
            assert time.monotonic() < end, (self.folder / "error.log").read_text()
            time.sleep(0.05)

    def server_block(self) -> str:
        """Return what the server is told about the store directory."""
        return SERVER.format(
            folder=self.folder,
            root=self.root,
            port=self.port,
            realm=REALM,
            more=self.more,
        )

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not yet open."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def _answers(self) -> bool:
        connection = self.connection()
        try:
            connection.request("HEAD", "/")
            return connection.getresponse().status == 401
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def restart(self, more: str) -> None:
        """Serve on, at the same address, with other lines in the ``server`` block."""
        self.stop()
        self.more = more
        self.start()

    def sent(self) -> list[Sent]:
        """Return what was answered, without the look whether it is up."""
        self._settle()
        return [one for one in self._logged() if one.path != "/"]

    def forget(self) -> None:
        """Begin the log anew."""
        self._settle()
        os.truncate(self.folder / "access.log", 0)

    def _logged(self) -> list[Sent]:
        lines = (self.folder / "access.log").read_text().splitlines()
        return [Sent(**json.loads(line)) for line in lines]

    def _settle(self) -> None:
        """Wait until all that was answered is logged, which is done after the answer.

        One process answers one request after the other: once a further one is logged, so
        are those before.
        """
        looks = sum(one.path == "/" for one in self._logged())
        end = time.monotonic() + 20
        while self._answers() and sum(one.path == "/" for one in self._logged()) <= looks:
            assert time.monotonic() < end, "nginx logs nothing"

    def login(self) -> dict[str, Any]:
        """Return DataLad's configuration for this server's password."""
        name = "datalad.credential.nginx"
        return {
            f"{name}.type": "user_password",
            f"{name}.user": USER,
            f"{name}.secret": PASSWORD,
            f"{name}.realm": f"{self.url}/{REALM}",
        }
