"""Nobody but the broker itself, with a certificate for its own name, gets the password."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.valkey import Tls, certificate

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker
from icfqueue.core.errors import Unreachable

PASSWORD = "hunter2"


class Listener(Tls):
    """Has a certificate, and nothing behind it; keeps what it is sent within TLS."""

    def __init__(self, chain: Path, key: Path) -> None:
        super().__init__(0, chain, key)
        self.calls = 0
        self.got = b""

    def accepted(self, plain: socket.socket) -> None:
        self.calls += 1
        plain.settimeout(5)
        with plain, suppress(OSError), self.context.wrap_socket(plain, True) as inside:
            self.got += inside.recv(4096)


@contextmanager
def listener(folder: Path, host: str) -> Iterator[tuple[Listener, Path]]:
    """Listen as `host`; yields also the certificate of the authority that signed it."""
    chain, key = certificate(folder, host)
    with Listener(chain, key) as made:
        yield made, chain


def by_redis(broker: Broker) -> None:
    broker.check()


def by_celerys_transport(broker: Broker) -> None:
    with make_app(broker).connection_for_write() as connection:
        connection.ensure_connection(max_retries=0)


def by_celerys_results(broker: Broker) -> None:
    make_app(broker).backend.client.ping()


WAYS: list[Callable[[Broker], None]] = [by_redis, by_celerys_transport, by_celerys_results]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["other.example.org", "127.0.0.2"])
def test_a_certificate_for_another_name_gets_no_password(
    host: str, way: Callable[[Broker], None], tmp_path: Path
) -> None:
    """Although the authority that signed it is trusted."""
    with listener(tmp_path, host) as (other, chain):
        broker = Broker(f"rediss://:{PASSWORD}@127.0.0.1:{other.port}/0", chain)
        with pytest.raises(Exception, match="certificate"):
            way(broker)
        assert other.calls
    assert other.got == b""


@pytest.mark.parametrize("way", WAYS)
def test_the_password_is_what_would_have_been_sent(
    way: Callable[[Broker], None], tmp_path: Path
) -> None:
    """With a certificate for the right name: the test above can fail."""
    with listener(tmp_path, "127.0.0.1") as (other, chain):
        broker = Broker(f"rediss://:{PASSWORD}@127.0.0.1:{other.port}/0", chain)
        with suppress(Exception):
            way(broker)
    assert PASSWORD.encode() in other.got


def test_an_unknown_issuer_names_the_setting_that_helps(tmp_path: Path) -> None:
    with listener(tmp_path, "127.0.0.1") as (other, _), pytest.raises(Unreachable) as found:
        Broker(f"rediss://:{PASSWORD}@127.0.0.1:{other.port}/0").check()
    assert "not trusted" in found.value.message
    assert "broker_ca_file" in found.value.hint
    assert "ICFQUEUE_BROKER_CA_FILE" in found.value.hint
    assert PASSWORD not in found.value.message + found.value.hint


def test_another_name_does_not_name_that_setting(tmp_path: Path) -> None:
    with (
        listener(tmp_path, "other.example.org") as (other, chain),
        pytest.raises(Unreachable) as found,
    ):
        Broker(f"rediss://127.0.0.1:{other.port}/0", chain).check()
    assert "broker_ca_file" not in found.value.hint
    assert "name in its address" in found.value.hint
