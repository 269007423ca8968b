"""The broker's address, connections to it, and what it must be set to."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.impostor import IMPOSTORS, Impostor
from support.valkey import Tls, Valkey, certificate, free_port

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker, configured, faults
from icfqueue.core.errors import Unreachable, UsageError
from icfqueue.core.settings import Settings, load

SECRET = "p/a:s#s?w@r%d €"
QUOTED = "p%2Fa%3As%23s%3Fw%40r%25d%20%E2%82%AC"


def broker(url: str, password: str | None = None) -> Broker:
    found = configured(load(broker_url=url, broker_password=password))
    assert found is not None
    return found


def test_without_an_address_the_embedded_server_is_meant() -> None:
    assert configured(Settings()) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        ("redis://host:6379/3", "redis://host:6379/3"),
        (f"redis://:{QUOTED}@host:1/0", "redis://host:1/0"),
        ("redis://user:hunter2@host/0", "redis://host/0"),
        ("rediss://user:hunter2@host:1/0", "rediss://host:1/0"),
        ("redis://host/0?password=hunter2", "redis://host/0"),
        ("redis+socket:///run/x.sock", "redis+socket:///run/x.sock"),
        ("redis+socket://:hunter2@/run/x.sock", "redis+socket:///run/x.sock"),
        ("redis+socket:///run/a@b.sock?virtual_host=2", "redis+socket:///run/a@b.sock"),
        ("unix:///run/x.sock", "redis+socket:///run/x.sock"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    found = broker(url)
    assert found.shown == shown
    assert repr(found) == f"Broker({shown})"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        *("http://host", "host:6379", "", "amqp://guest:hunter2@host", "redis://"),
        *("redis://:hunt/er2@host/0", "redis://u:hunt#er2@host", "redis://u:hunt?er2@host"),
        *("redis://:hunter2", "redis://host:hunter2/0", "redis+socket://", "unix://"),
        *("redis://[::1", "redis+socket:///"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as found:
        broker(url)
    said = str(found.value) + found.value.hint
    assert "hunt" not in said
    assert "er2" not in said
    assert "\n" not in said


@pytest.mark.parametrize("url", ["redis://:hunt/er2@host", "redis://u:hunt#er2@host/0"])
def test_even_an_address_that_was_never_checked_shows_no_password(url: str) -> None:
    assert "hunt" not in Broker(url).shown
    assert "er2" not in Broker(url).shown


def test_a_password_may_lie_elsewhere_than_the_address() -> None:
    assert broker("redis://host:1/0", SECRET).url == f"redis://:{QUOTED}@host:1/0"
    assert broker("redis://me@host:1/0", SECRET).url == f"redis://me:{QUOTED}@host:1/0"
    assert broker("redis://:own@host:1/0", SECRET).url == "redis://:own@host:1/0"
    assert broker("unix:///s", "x").url == "redis+socket://:x@/s"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Valkey]:
    """A server on loopback with a password of special characters."""
    with Valkey(tcp=True, password=SECRET) as server:
        yield server


def test_a_password_with_special_characters_opens_the_broker(guarded: Valkey) -> None:
    found = broker(f"redis://127.0.0.1:{guarded.port}/0", SECRET)
    with found.check() as client:
        assert client.ping()
    with make_app(found).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)


@pytest.mark.parametrize("more", ["", "?virtual_host=3"])
def test_a_socket_with_a_password_and_a_database_opens_for_both_libraries(
    guarded: Valkey, more: str
) -> None:
    found = broker(f"redis+socket://{guarded.socket}{more}", SECRET)
    wanted = 3 if more else 0
    with found.check() as client:
        client.set("mark", "x")
        assert client.connection_pool.connection_kwargs.get("db", 0) == wanted
    with make_app(found).connection_for_write() as connection:
        channel = connection.default_channel
        assert channel.client.get("mark") == b"x"
        channel.client.delete("mark")


def test_a_user_with_a_password_opens_the_broker() -> None:
    with Valkey(tcp=True, user="icf", password="hunter2") as server:
        with server.broker.check() as client:
            assert client.acl_whoami() == "icf"
        with make_app(server.broker).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)


def test_tls_is_checked_against_the_authority_that_is_set(
    guarded: Valkey, tmp_path: Path
) -> None:
    chain, key = certificate(tmp_path)
    with Tls(guarded.port, chain, key) as tls:
        url = f"rediss://:{QUOTED}@127.0.0.1:{tls.port}/0"
        with Broker(url, chain).check() as client:
            assert client.ping()
        with make_app(Broker(url, chain)).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
        # Nobody the system trusts signed it.
        with pytest.raises(Unreachable, match="certificate") as found:
            Broker(url).check()
        assert QUOTED not in str(found.value)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("login", ["", ":wrong-hunter2@", "nobody:wrong-hunter2@"])
def test_a_wrong_password_is_told_in_one_line_without_it(
    guarded: Valkey, login: str
) -> None:
    with pytest.raises(Unreachable) as found:
        broker(f"redis://{login}127.0.0.1:{guarded.port}/0").check()
    said = str(found.value)
    assert "refuses the password" in said
    assert "hunter2" not in said + found.value.hint
    assert "\n" not in said
    assert found.value.exit_code == 3


def _dead_port() -> Iterator[str]:
    yield f"127.0.0.1:{free_port()}"


def _silent() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _deaf() -> Iterator[str]:
    """A port whose queue of connections is full: packets are swallowed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield f"127.0.0.1:{address[1]}"
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("place", [_dead_port, _silent, _deaf])
def test_a_broker_that_is_away_is_told_within_five_seconds(
    place: Callable[[], Iterator[str]],
) -> None:
    for host in place():
        began = time.monotonic()
        with pytest.raises(Unreachable) as found:
            broker(f"redis://:hunter2@{host}/0").check()
        assert time.monotonic() - began < 5.0
        said = str(found.value)
        assert host in said
        assert "hunter2" not in said + found.value.hint
        assert "\n" not in said
        assert found.value.exit_code == 3


def test_a_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no such file"):
        broker(f"redis+socket://{tmp_path}/none.sock").check()


def test_a_server_set_as_it_must_be_has_no_faults(valkey: Valkey) -> None:
    with valkey.client() as client:
        assert faults(client) == []


def test_settings_under_which_records_could_be_lost_are_found() -> None:
    options = {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}
    with Valkey(options=options) as server, server.client() as client:
        said = faults(client)
        assert [remedy for _, remedy in said] == [
            "set 'appendonly yes'",
            "set 'maxmemory-policy noeviction'",
        ]
        assert "allkeys-lru" in said[1][0]


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("path", ["", "user:pw@"])
def test_another_kind_of_server_is_said_to_be_none_of_ours(kind: str, path: str) -> None:
    """It does answer: that is what is told, and what may be wrong."""
    with Impostor(*IMPOSTORS[kind]) as other:
        broker = Broker(other.broker.url.replace("//", f"//{path}"))
        with pytest.raises(Unreachable, match="is no Redis or Valkey server") as caught:
            broker.check()
    assert "right port" in caught.value.hint


def test_a_database_that_is_not_there_is_said_so() -> None:
    with (
        Valkey(tcp=True) as server,
        pytest.raises(Unreachable, match="has no database of that number"),
    ):
        Broker(f"redis://127.0.0.1:{server.port}/99999").check()


def test_a_new_connection_asks_for_no_more_than_it_needs() -> None:
    """A greeting of one round trip: who made the library is not told."""
    with Valkey() as server, server.client() as admin, server.broker.connect() as client:
        before = admin.info("commandstats")
        client.get("x")
        after = admin.info("commandstats")
    asked = {name for name in after if after[name] != before.get(name)} - {"cmdstat_info"}
    assert asked - {"cmdstat_hello", "cmdstat_ping", "cmdstat_select"} == {"cmdstat_get"}
    assert len(asked) <= 3
