"""What a broker says when it refuses, as real servers say it."""

from __future__ import annotations

import logging
import pickle
import ssl
from collections.abc import Callable, Iterator

import pytest
import redis
from kombu.exceptions import BatchPublishError, OperationalError
from support.valkey import Valkey

from icfqueue.broker.refusals import (
    REFUSALS,
    BrokerRefuses,
    Outage,
    code_of,
    is_away,
    is_refusal,
    refused_writes,
    words,
)
from icfqueue.broker.sockets import Attentive

OLD_SCRIPT = "ERR Error running script (call to f_1): @user_script:3:"
WRITE = "return redis.call('SET', KEYS[1], 'x')"


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """One that is made to refuse."""
    with Valkey() as started:
        yield started


def out_of_memory(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)


def no_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


def replica(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")


def no_rights(client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "default", "-set", "-hget")


def well(client: redis.Redis) -> None:
    client.replicaof("NO", "ONE")
    client.config_set("maxmemory", 0)
    client.config_set("min-replicas-to-write", 0)
    client.execute_command("ACL", "SETUSER", "default", "+@all")


CALLS: dict[str, Callable[[redis.Redis], object]] = {
    "command": lambda client: client.set("a", "x"),
    "script": lambda client: client.eval(WRITE, 1, "a"),
    "pipeline": lambda client: client.pipeline(transaction=False).set("a", "x").execute(),
    "transaction": lambda client: client.pipeline().set("a", "x").incr("b").execute(),
    "lenient pipeline": lambda client: (
        client.pipeline(transaction=False).set("a", "x").execute(raise_on_error=False)
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        (out_of_memory, "OOM"),
        (no_replicas, "NOREPLICAS"),
        (replica, "READONLY"),
        (no_rights, "NOPERM"),
    ],
)
def test_a_refusal_is_known_whichever_way_it_comes(
    refuse: Callable[[redis.Redis], None], code: str, call: str, server: Valkey
) -> None:
    """And the connection is good for the next call."""
    with server.client() as client, server.client() as admin:
        refuse(admin)
        try:
            with pytest.raises(BrokerRefuses) as found:
                CALLS[call](client)
        finally:
            well(admin)
        assert (found.value.code, code_of(found.value)) == (code, code)
        assert is_away(found.value)
        assert is_refusal(found.value)
        assert words(found.value).found.startswith(REFUSALS[code].found)
        assert client.ping()
        CALLS[call](client)


def test_a_missing_right_names_the_command(server: Valkey) -> None:
    with server.client() as client, server.client() as admin:
        no_rights(admin)
        try:
            with pytest.raises(BrokerRefuses) as found:
                client.hget("a", "b")
        finally:
            well(admin)
    assert words(found.value).found.endswith("the command HGET")
    assert "users.acl" in words(found.value).remedy


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "MISCONF"),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", "BUSY"),
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
        ("MASTERDOWN Link with MASTER is down", "MASTERDOWN"),
        ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN"),
        ("NOAUTH Authentication required.", "NOAUTH"),
        ("WRONGPASS invalid username-password pair", "WRONGPASS"),
        ("ERR max number of clients reached", "MAXCLIENTS"),
        ("ERR DB index is out of range", "NODB"),
        ("NOPERM this user has no permissions to run the 'info' command", "NOPERM"),
        # Redis 6.2, within a script.
        (f"{OLD_SCRIPT} @user_script: 3: -OOM command not allowed", "OOM"),
        (f"{OLD_SCRIPT} -READONLY You can't write against a replica.", "READONLY"),
        ("ERR unknown command 'HELLO'", None),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", None),
        ("NOSCRIPT No matching script.", None),
        ("BUSYGROUP Consumer Group name already exists", None),
    ],
)
def test_answers_of_servers_of_all_versions(said: str, code: str | None) -> None:
    """As redis-py makes exceptions of them."""
    from redis._parsers.base import BaseParser

    error = BaseParser.parse_error(said)
    assert code_of(error) == code


def test_errors_of_celery_are_known_by_what_they_came_from() -> None:
    for kind in (OperationalError, BatchPublishError):
        error = kind("Redis publish batch failed; delivery is uncertain")
        assert is_away(error)
        error.__cause__ = BrokerRefuses("OOM", "command not allowed")
        assert words(error).found == "has no memory left"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError(), KeyError(1)])
def test_what_is_not_the_brokers_is_no_absence_of_it(error: Exception) -> None:
    assert not is_away(error)
    assert not is_refusal(error)


def test_a_broker_that_is_away_is_told_by_the_systems_own_words() -> None:
    error = redis.ConnectionError("Error 111 connecting to host:1.")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert words(error).found == "does not answer (connection refused)"
    assert is_away(error)
    assert not is_refusal(error)


def test_an_unknown_issuer_names_the_setting() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = 20, "unable to get local issuer certificate"
    error = redis.ConnectionError("Error 1 connecting")
    error.__cause__ = cause
    assert "ICFQUEUE_BROKER_CA_FILE" in words(error).remedy
    cause.verify_code, cause.verify_message = 62, "Hostname mismatch"
    assert "name in its address" in words(error).remedy


def test_an_outage_is_told_once_for_each_cause_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage("worker")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            outage.note(BrokerRefuses("OOM", "command not allowed"))
            outage.note(redis.ConnectionError("x"))
        assert len(caplog.records) == 2
        outage.over()
        outage.over()
        assert len(caplog.records) == 3
        outage.note(BrokerRefuses("OOM", "command not allowed"))
        assert len(caplog.records) == 4


def test_who_only_asks_is_told_what_is_refused(server: Valkey) -> None:
    with server.client() as client, server.client() as admin:
        assert refused_writes(client) is None
        # What was written is gone within a millisecond.
        assert client.pttl("icfqueue:probe") in {-2, 0, 1}
        out_of_memory(admin)
        found = refused_writes(client)
        well(admin)
        no_rights(admin)
        mine = refused_writes(client)
        well(admin)
    assert found
    assert found.found == "has no memory left"
    assert mine is None


def test_the_mixin_is_in_front_of_each_of_redis_pys_connections() -> None:
    from icfqueue.broker import sockets

    for kind in (sockets.TCP, sockets.TLS, sockets.UNIX):
        assert issubclass(kind, Attentive)


def test_a_refusal_survives_pickle() -> None:
    """Celery's children hand errors to their parent."""
    found = pickle.loads(pickle.dumps(BrokerRefuses("OOM", "command not allowed")))
    assert (found.code, found.said) == ("OOM", "command not allowed")
