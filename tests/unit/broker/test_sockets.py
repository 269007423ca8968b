"""Connections that notice a dead broker, and end at once when they are to."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.valkey import Tls, Valkey, certificate

from icfqueue.broker import sockets
from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker
from icfqueue.broker.refusals import code_of
from icfqueue.broker.sockets import KEEPALIVE, REPLY_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey(tcp=True) as started:
        yield started


def options_of(connection: redis.Connection) -> dict[int, int]:
    """Return what the kernel was told about a connection."""
    connection.connect()
    sock = connection._sock
    assert isinstance(sock, socket.socket)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return {name: sock.getsockopt(socket.IPPROTO_TCP, name) for name in KEEPALIVE}


@pytest.mark.parametrize("patient", [True, False])
def test_each_of_our_connections_is_given_up_when_the_other_end_is_silent(
    patient: bool, server: Valkey
) -> None:
    with server.broker.connect(patient=patient) as client:
        connection = client.connection_pool.get_connection()
        assert options_of(connection) == KEEPALIVE
        assert 0 < connection.socket_timeout <= REPLY_SECONDS
        assert 0 < connection.health_check_interval <= 10


def test_each_of_celerys_connections_is_given_up_too(server: Valkey) -> None:
    """Taking and sending messages, and results."""
    app = make_app(server.broker)
    with app.connection_for_read() as conn:
        channel = conn.default_channel
        pools = [channel.pool, channel.async_pool, app.backend.client.connection_pool]
        for pool in pools:
            connection = pool.get_connection()
            assert options_of(connection) == KEEPALIVE
            assert 0 < connection.socket_timeout <= REPLY_SECONDS
            assert 0 < connection.health_check_interval <= 10
            assert issubclass(type(connection), sockets.Once)
            connection.disconnect()


def test_nobody_waits_longer_than_thirty_seconds_for_a_dead_connection() -> None:
    """The kernel's own end of it, and the longest wait for a reply, with the next try."""
    longest = max(
        KEEPALIVE[socket.TCP_USER_TIMEOUT] / 1000,
        KEEPALIVE[socket.TCP_KEEPIDLE]
        + KEEPALIVE[socket.TCP_KEEPINTVL] * KEEPALIVE[socket.TCP_KEEPCNT],
        REPLY_SECONDS,
    )
    assert longest + 5.0 + sockets.CONNECT_SECONDS < 30.0


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_waits_for_nothing_is_closed_at_once(
    tls: bool, server: Valkey, tmp_path: Path
) -> None:
    """Closing must not wait for words of the server."""
    chain, key = certificate(tmp_path)
    with Tls(server.port, chain, key) as front:
        url = f"rediss://127.0.0.1:{front.port}" if tls else server.url
        with Broker(url, chain).connect(patient=True) as client:
            connection = client.connection_pool.get_connection()
            connection.connect()
            began = time.monotonic()
            connection.disconnect()
            # Its replies are waited for ten seconds.
            assert time.monotonic() - began < 5.0


def test_a_server_with_too_many_clients_is_heard_although_it_hangs_up() -> None:
    with Valkey(tcp=True) as server, server.client() as client:
        client.config_set("maxclients", 1)
        for broker in (server.broker, Broker(f"redis+socket://{server.socket}")):
            for _ in range(5):
                with broker.connect() as other, pytest.raises(redis.ConnectionError) as one:
                    other.ping()
                if code_of(one.value) == "MAXCLIENTS":
                    break
            else:
                pytest.fail("it was never heard")
        client.config_set("maxclients", 100)


def test_the_greeting_may_be_refused_what_it_can_do_without() -> None:
    """redis-py names itself to the server, which a user need not be allowed to."""
    with Valkey(tcp=True) as server, server.client() as admin:
        admin.execute_command(
            *("ACL", "SETUSER", "few", "on", ">hunter2", "~*", "-@all", "+ping")
        )
        with Broker(f"redis://few:hunter2@127.0.0.1:{server.port}/0").check() as client:
            assert client.ping()
