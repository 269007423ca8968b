"""The users of ``ops/valkey/users.acl`` may do what is needed, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from support.access import PASSWORD, USERS, acl_file, granted
from support.chaos_project import PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.steadiness import output
from support.valkey import free_port

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker
from icfqueue.core.settings import Secret, Settings
from icfqueue.ledger.record import State
from icfqueue.monitoring.source import Source

RARE = {
    "worker": {
        "incrby",  # a store's faults are counted
        "pttl",  # a rest is waited for
        "rpush",  # a message goes back when a worker stops
        "ltrim",  # a strange message is noted
        "hdel",  # a step's progress is forgotten
        "hgetall",  # room is promised to a download
        "info",  # what a dead worker did is taken back
        "lrange",  # a message is missing
        "zscore",  # a lease is looked at
        "unwatch",  # sums are made anew that somebody else spoilt
        "watch",
        "setnx",  # the first of all gives the store's id to the broker
    },
    "producer": {
        "unwatch",  # sums are made anew while somebody works on the project
        "watch",
        "hdel",  # a visit is cancelled on which somebody works
        "type",  # a stranger's key is in the place of a queue
        "xrange",  # what was said of a visit goes when it is forgotten
        "xdel",
    },
    # Whether a worker is there is looked up by 'status --wait'.
    "reader": {"evalsha", "script|load", "time", "zrangebyscore", "zremrangebyscore"},
    "monitor": {"punsubscribe"},  # it listens to the end here
}
"""What is granted for moments that a short test may not meet, each with its reason."""


@pytest.fixture
def guarded(tmp_path: Path, web: FaultyStore) -> Iterator[KillableCluster]:
    """A cluster whose broker has those users, and one that the test itself uses."""
    with KillableCluster(tmp_path, web.url) as cluster:
        for tarball in (web.root / PROJECT).iterdir():
            shutil.copy(tarball, cluster.root / PROJECT)
        cluster.server.kill()
        access = str(acl_file(tmp_path))
        cluster.server.more = {"port": str(free_port()), "include": access}
        cluster.server.start()
        yield cluster


def as_user(cluster: KillableCluster, user: str) -> dict[str, str]:
    port = cluster.server.more["port"]
    url = f"redis://icfqueue-{user}:{PASSWORD}@127.0.0.1:{port}/0"
    return {"ICFQUEUE_BROKER_URL": url}


def admin(cluster: KillableCluster) -> Any:
    return redis.Redis(unix_socket_path=str(cluster.server.socket))


def used(cluster: KillableCluster) -> set[str]:
    """Return the commands that were called since the last time this was asked."""
    with admin(cluster) as client:
        found = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        client.config_resetstat()
    return found


def refused(cluster: KillableCluster) -> set[str]:
    """Return what users were refused (ACL LOG), but for what redis-py only tries."""
    with admin(cluster) as client:
        found = {str(entry["object"]) for entry in client.acl_log()}
        client.acl_log_reset()
    return {one for one in found if not one.startswith("client|")}


def listen(url: str) -> None:
    """Listen for Celery's events for a moment, as Flower does."""
    app = make_app(Broker(url))
    with app.connection() as connection, suppress(TimeoutError):
        app.events.Receiver(connection, handlers={}).capture(limit=1, timeout=0.5)


def test_users_of_the_broker_have_the_rights_that_they_need_and_no_more(
    guarded: KillableCluster, few: list[str]
) -> None:
    """A project's whole life: enqueued, worked on, asked for, retried, cancelled."""
    cluster = guarded
    used(cluster)
    seen: dict[str, set[str]] = {user: set() for user in USERS}

    def command(user: str, *words: str) -> None:
        cluster.command(*words, **as_user(cluster, user))
        seen[user] |= used(cluster)
        assert not refused(cluster), (user, words)

    command("producer", "enqueue", PROJECT, *few)
    command("producer", "cancel", PROJECT, few[0])
    command("producer", "enqueue", PROJECT, few[0], "--priority", "3")
    workers = [cluster.start_worker(1, **as_user(cluster, "worker")) for _ in range(2)]
    cluster.wait(lambda: cluster.begun() > 8, 60, "some steps")
    # What it did is found by its lease.
    cluster.kill(workers[0])
    cluster.wait_drained(90)
    with admin(cluster) as client:
        client.rpush("fetch", "no message of ours")
        cluster.wait(lambda: not client.llen("fetch"), 30, "it is put aside")
    workers[1].process.terminate()
    workers[1].process.wait(60)
    seen["worker"] |= used(cluster)
    assert not refused(cluster), cluster.explain()
    assert cluster.counts() == {State.DONE: len(few)}, cluster.explain()
    command("producer", "enqueue", PROJECT, "--force", few[1])
    command("producer", "retry", PROJECT)
    with admin(cluster) as client:
        # As a worker has it that lives: its end is looked at.
        client.set("icfqueue:lock:supervisor", "somebody", px=60_000)
    command("producer", "reconcile", PROJECT)
    command("producer", "status", "--format", "json")
    command("producer", "doctor")
    command("producer", "catalog", PROJECT)
    command("producer", "forget", PROJECT, few[-1])
    for words in (
        ("status",),
        ("status", PROJECT),
        ("status", PROJECT, few[0]),
        ("status", PROJECT, "--format", "csv"),
        ("workers",),
        ("logs", PROJECT),
        ("doctor",),
    ):
        cluster.command(*words, **as_user(cluster, "reader"))
    url = Secret(as_user(cluster, "reader")["ICFQUEUE_BROKER_URL"])
    with Source(Settings(store_dir=cluster.root, broker_url=url)) as source:
        assert source.ask() is not None
    seen["reader"] |= used(cluster)
    # It asks whether the broker accepts what is written; a reader has nothing to write.
    assert refused(cluster) <= {"set"}
    listen(as_user(cluster, "monitor")["ICFQUEUE_BROKER_URL"])
    seen["monitor"] |= used(cluster)
    assert not refused(cluster)
    for user in USERS:
        unused = granted(user) - seen[user] - RARE[user]
        assert not unused, f"{user} may do what it need not"


@pytest.mark.parametrize("user", USERS)
def test_no_user_reads_writes_or_does_what_is_others(
    user: str, guarded: KillableCluster
) -> None:
    port = guarded.server.more["port"]
    client: Any = redis.Redis(
        port=int(port), username=f"icfqueue-{user}", password=PASSWORD
    )
    with client, admin(guarded) as other:
        other.set("somebody-elses", "x")
        other.set("icfqueue:ours", "x")
        for words in (
            ("GET", "somebody-elses"),
            ("SET", "somebody-elses", "y"),
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("CONFIG", "GET", "*"),
            ("SHUTDOWN",),
            ("KEYS", "*"),
            ("SCAN", "0"),
            ("ACL", "LIST"),
            ("REPLICAOF", "127.0.0.1", "1"),
            ("MODULE", "LIST"),
            ("MONITOR",),
            ("CLIENT", "KILL", "TYPE", "normal"),
            ("PUBLISH", "anything", "x"),
            ("SUBSCRIBE", "anything"),
            ("EVAL", "return 1", "0"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)
        if user == "reader":
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command("DEL", "icfqueue:ours")


def test_a_reader_may_wait(guarded: KillableCluster, few: list[str]) -> None:
    """And is told that no worker is there."""
    guarded.enqueue(few[0])
    waiting = guarded.start_command(
        "status", PROJECT, "--wait", **as_user(guarded, "reader")
    )
    guarded.wait(lambda: "No worker" in waiting.log.read_text(), 60, "it says so")
    guarded.start_worker(1, **as_user(guarded, "worker"))
    assert waiting.process.wait(60) == 0
    assert refused(guarded) <= {"set"}


def test_a_missing_right_names_the_command(
    guarded: KillableCluster, few: list[str]
) -> None:
    """And not a lost connection."""
    guarded.env |= as_user(guarded, "producer")
    with admin(guarded) as client:
        client.execute_command("ACL", "SETUSER", "icfqueue-producer", "-evalsha")
    code, said = output(guarded, "enqueue", PROJECT, few[0])
    assert code == 3
    assert "EVALSHA" in said
    assert "users.acl" in said
    assert "lost" not in said
