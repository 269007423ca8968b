"""Whatever a stranger puts under a name of ours: all visits are done, and nobody ends."""

from __future__ import annotations

import random
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from support.chaos_project import FEW, LONG, PROJECT, SEED
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster
from support.steadiness import check_it_goes_on, output, start_workers

from icfqueue.ledger.keys import KINDS, SPOILT, key
from icfqueue.ledger.record import State
from icfqueue.ledger.stored.mending import names_of, names_of_all

GARBAGE = '\x1b[31m$(id) {"message": 1}'


def of_the_web(web: FaultyStore) -> dict[str, str]:
    """Return the names of notes about the store that are there, each with its type."""
    host = urlsplit(web.url).netloc
    names = [key("rest", host), key("faults", host), key("lock", f"probe:{host}")]
    return dict.fromkeys(names, "string")


@pytest.fixture
def names(web: FaultyStore) -> dict[str, str]:
    """Every key but the records', each with its type."""
    return names_of_all() | names_of(PROJECT) | of_the_web(web)


def connected(cluster: KillableCluster) -> Any:
    """Return a stranger's connection."""
    path = str(cluster.server.socket)
    return redis.Redis(unix_socket_path=path, decode_responses=True)


def of_another_type(client: Any, name: str, kind: str) -> None:
    """Put something of another type there, which no command of ours takes."""
    # At once: a worker may write there in between.
    with client.pipeline(transaction=True) as both:
        both.delete(name)
        if kind == "string":
            both.rpush(name, "x")
        else:
            both.set(name, "x")
        both.execute()


def garbage_text(client: Any, name: str, kind: str) -> None:
    """Put something of the right type there that means nothing."""
    if kind == "string":
        client.set(name, GARBAGE)
    elif kind == "set":
        client.sadd(name, GARBAGE, "../..", "a:b")
    elif kind == "zset":
        client.zadd(name, {GARBAGE: 0, "../..": 1e300, f"{PROJECT}/nobody": 5})
    elif kind == "stream":
        client.xadd(name, {GARBAGE: GARBAGE, "project": "../.."})
    else:
        fields = ("tar_bytes", "read_bytes", "read_dicoms", GARBAGE, "visit_000")
        client.hset(name, mapping=dict.fromkeys(fields, GARBAGE))


def without_end(client: Any, name: str, kind: str) -> None:
    """Put something there that would be ours if it had an end, and has none."""
    if kind != "string" or name in {key("layout"), key("store"), SPOILT}:
        return
    # That of a project stands until 'retry' lifts it: it is no note with an end.
    if name.startswith((key("hold", ""), key("refused", ""))):
        return
    note = '{"message": "of a stranger", "hint": "none"}'
    client.set(name, note if ":rest:" in name else "7")


SPOILERS = (of_another_type, garbage_text, without_end)


def goes_on(cluster: KillableCluster, goal: int) -> bool:
    """Tell whether more than `goal` steps were begun, or nothing is left."""
    return cluster.begun() > goal or not cluster.active()


def check_commands(cluster: KillableCluster, *, every: bool = False) -> None:
    """Fail if a command that asks says anything but a plain answer."""
    asking = [["status"], ["status", PROJECT]]
    if LONG or every:
        asking += [["doctor"], ["reconcile", PROJECT]]
    for words in asking:
        _, said = output(cluster, *words)
        assert "Traceback" not in said, (words, said)
        assert "was lost" not in said, (words, said)
        assert "\x1b[31m$" not in said, (words, said)


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda one: one.__name__)
def test_keys_that_were_spoilt_are_mended_and_the_work_goes_on(
    spoil: Any,
    cluster: KillableCluster,
    names: dict[str, str],
    few: list[str],
    expected_few: dict[str, str],
) -> None:
    """All keys at once before a worker is there, then one after another in mid-run."""
    rng = random.Random(f"{SEED} {spoil.__name__}")
    cluster.enqueue(*few)
    with connected(cluster) as stranger:
        for name, kind in names.items():
            spoil(stranger, name, kind)
        check_commands(cluster, every=True)
        for name, kind in names.items():
            spoil(stranger, name, kind)
        before = start_workers(cluster)
        shuffled = rng.sample(sorted(names), len(names))
        one_each = {name.split(":")[1]: name for name in shuffled}
        for name in shuffled if LONG else one_each.values():
            goal = cluster.begun()
            spoil(stranger, name, names[name])
            cluster.wait(partial(goes_on, cluster, goal), 60, f"work after {name}")
        check_commands(cluster)
        check_it_goes_on(cluster, before, FEW, 90)
        cluster.wait(lambda: not stranger.exists(SPOILT), 30, "all is made anew")
    cluster.check_equals(expected_few)
    sums = cluster.ledger.totals(PROJECT)
    cluster.command("reconcile", PROJECT)
    assert cluster.ledger.totals(PROJECT) == sums
    assert sums["read_bytes"] > 0
    assert cluster.counts() == {State.DONE: FEW}


def test_every_kind_of_key_is_spoilt_above(names: dict[str, str]) -> None:
    """So that a new one is not forgotten; records have a test of their own."""
    met = {name.split(":")[1] for name in names}
    # Counted for a file that is not seen, and for no other.
    assert met == set(KINDS) - {"unseen"}
