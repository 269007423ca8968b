"""Serving a store directory: where to listen, and who may enter."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings
from icfqueue.serve.landing import Landing
from icfqueue.serve.passwords import PasswordFile
from icfqueue.serve.server import StoreServer
from icfqueue.store.reading import StoreReader

OURSELVES = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names by which this machine reaches itself."""


@contextmanager
def serving(
    settings: Settings, host: str, port: int, password_file: Path | None
) -> Iterator[StoreServer]:
    """Serve the store directory for the length of a block.

    Parameters
    ----------
    host
        Address to listen at.
    port
        0 takes a free one.
    password_file
        Users and passwords (:class:`~icfqueue.serve.passwords.PasswordFile`); needed
        where others than this machine can reach it.

    Raises
    ------
    UsageError
        There is no store directory, no password where one is needed, no such address,
        or the port is taken.
    """
    store = StoreReader.of(settings)
    store.check_is_there()
    login = PasswordFile(password_file) if password_file else None
    if login is None and not _is_loopback(host):
        raise UsageError(
            f"at {host} other machines could read the store without a password",
            hint="give a password file with --password-file, or leave --host out",
        )
    try:
        server = StoreServer(
            store,
            login=login,
            host=host,
            port=port,
            # A page of another site could have its own name lead here (DNS rebinding).
            names=None if login else OURSELVES,
            home=Landing(store, settings.catalog_name).page,
        )
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        what = f"port {port} is taken" if taken else f"{host} port {port}: {error.strerror}"
        raise UsageError(what, hint="choose another one with --port") from None
    with server:
        yield server


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
