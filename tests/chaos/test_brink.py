"""A broker that is there and refuses is a broker that is away: all wait and go on.

Every refusal is a real server's, brought about by its own settings.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from support.chaos_project import FEW, LONG
from support.killable_cluster import KillableCluster
from support.steadiness import check_it_goes_on, output, start_workers

SECONDS = 40.0 if LONG else 2.5
"""How long a broker refuses."""

BALLAST = 50_000
"""Commands that a server which was killed reads again before it is there."""

MOMENTS = 138 if LONG else 25


@dataclass
class Admin:
    """Who may do everything with the server, whatever it refuses others."""

    cluster: KillableCluster

    def __post_init__(self) -> None:
        self.client: Any = redis.Redis(unix_socket_path=str(self.cluster.server.socket))
        self.client.ping()

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self.client.config_set(name.replace("_", "-"), value)

    def cut(self) -> None:
        """Close everybody else's connection."""
        self.client.client_kill_filter(_type="normal", skipme=True)


@contextmanager
def out_of_memory(admin: Admin) -> Iterator[None]:
    admin.set(maxmemory=1)
    yield
    admin.set(maxmemory=0)


@contextmanager
def read_only(admin: Admin) -> Iterator[None]:
    admin.client.replicaof("127.0.0.1", "1")
    yield
    admin.client.replicaof("NO", "ONE")


@contextmanager
def primary_down(admin: Admin) -> Iterator[None]:
    admin.set(replica_serve_stale_data="no")
    admin.client.replicaof("127.0.0.1", "1")
    yield
    admin.client.replicaof("NO", "ONE")


@contextmanager
def no_replicas(admin: Admin) -> Iterator[None]:
    admin.set(min_replicas_to_write=1)
    yield
    admin.set(min_replicas_to_write=0)


@contextmanager
def disk_trouble(admin: Admin) -> Iterator[None]:
    """A snapshot cannot be put where it belongs, hence nothing is accepted."""
    place = admin.cluster.server.folder / "dump.rdb"
    place.mkdir()
    admin.set(save="3600 1000000")

    def is_saved(wanted: str) -> bool:
        info = admin.client.info("persistence")
        if not info["rdb_bgsave_in_progress"] and info["rdb_last_bgsave_status"] != wanted:
            with suppress(redis.RedisError):
                admin.client.bgsave()
        return bool(info["rdb_last_bgsave_status"] == wanted)

    admin.cluster.wait(lambda: is_saved("err"), 20, "a snapshot failed")
    yield
    place.rmdir()
    admin.cluster.wait(lambda: is_saved("ok"), 20, "a snapshot is there")
    admin.set(save="")


@contextmanager
def busy(admin: Admin) -> Iterator[None]:
    """A stranger's script that does not end."""
    admin.set(busy_reply_threshold=1)
    other = redis.Redis(unix_socket_path=str(admin.cluster.server.socket))

    def loop() -> None:
        with suppress(redis.RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    yield

    def is_over() -> bool:
        with suppress(redis.RedisError):
            admin.client.script_kill()
        return not thread.is_alive()

    admin.cluster.wait(is_over, 20, "the script has ended")
    other.close()


@contextmanager
def no_login(admin: Admin) -> Iterator[None]:
    """As after a restart with a password that was not there before."""
    admin.set(requirepass="hunter2")
    admin.cut()
    yield
    admin.set(requirepass="")


@contextmanager
def no_rights(admin: Admin) -> Iterator[None]:
    admin.client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-brpop", "-set")
    yield
    admin.client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def too_many_clients(admin: Admin) -> Iterator[None]:
    admin.set(maxclients=1)
    admin.cut()
    yield
    admin.set(maxclients=10_000)


@contextmanager
def loading(admin: Admin) -> Iterator[None]:
    """A server that came back and takes its time to read its data."""
    server = admin.cluster.server
    # It answers after each 1,024 commands that it has read, and not in between.
    with admin.client.pipeline(transaction=False) as pipe:
        for number in range(BALLAST):
            pipe.set(f"ballast:{number}", "x")
        pipe.execute()
    time.sleep(1.1)  # 'everysec': the ballast is in the file
    server.kill()
    # Microseconds of sleep for each command that is read.
    server.more = {"key-load-delay": str(int(2 * SECONDS * 1e6 / BALLAST))}
    server.start(wait=False)
    yield
    server.more = {}


REFUSALS: dict[str, Callable[[Admin], Any]] = {
    "OOM": out_of_memory,
    "READONLY": read_only,
    "MASTERDOWN": primary_down,
    "NOREPLICAS": no_replicas,
    "MISCONF": disk_trouble,
    "BUSY": busy,
    "NOAUTH": no_login,
    "NOPERM": no_rights,
    "MAXCLIENTS": too_many_clients,
    "LOADING": loading,
}


@pytest.mark.parametrize("code", REFUSALS)
def test_workers_wait_while_the_broker_refuses_and_then_go_on(
    code: str,
    cluster: KillableCluster,
    few: list[str],
    expected_few: dict[str, str],
    rng: random.Random,
) -> None:
    """No visit is charged, none is done twice, no process ends; the log says why."""
    before = start_workers(cluster)
    cluster.enqueue(*few)
    cluster.wait_for_some_step(rng, among=20)
    with REFUSALS[code](Admin(cluster)):
        cluster.wait(lambda: cluster.count_in_logs("broker.away"), 30, "they say so")
        time.sleep(SECONDS)
    check_it_goes_on(cluster, before, len(few))
    cluster.check_equals(expected_few)


def test_many_moments_of_refusal_cost_no_visit(
    cluster: KillableCluster,
    few: list[str],
    expected_few: dict[str, str],
    rng: random.Random,
) -> None:
    """Moments so short that only some commands meet them."""
    before = start_workers(cluster)
    admin = Admin(cluster)
    cluster.enqueue(*few)
    moments = [out_of_memory, read_only, no_replicas]
    for _ in range(MOMENTS):
        cluster.wait_for_some_step(rng, among=2)
        with rng.choice(moments)(admin):
            time.sleep(0.012)
    check_it_goes_on(cluster, before, len(few))
    cluster.check_equals(expected_few)
    assert len(few) == FEW


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("OOM", "has no memory left"),
        ("READONLY", "only reads"),
        ("MISCONF", "cannot write its data to its disk"),
        ("NOREPLICAS", "too few replicas"),
        ("NOAUTH", "refuses the password"),
        ("MAXCLIENTS", "as many clients as it takes"),
        ("NOPERM", "the command EVALSHA"),
    ],
)
def test_commands_say_what_the_broker_refuses(
    code: str, words: str, cluster: KillableCluster, few: list[str]
) -> None:
    """In a line, with a remedy, and with the exit code for a broker that is away."""
    cluster.enqueue(few[0])
    with REFUSALS[code](Admin(cluster)):
        exit_code, said = output(cluster, "enqueue", "study_1", *few[1:3])
        assert (exit_code, words in said) == (3, True), said
        assert "Traceback" not in said
        for command in ("status", "doctor"):
            if code != "NOPERM":
                assert words in output(cluster, command)[1]
