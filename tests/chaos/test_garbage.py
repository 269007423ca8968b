"""Who may write to the broker can waste work, and never stop, crash or mislead a worker."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
from support.chaos_project import FEW, LONG
from support.garbage import garbage, raw
from support.killable_cluster import KillableCluster
from support.steadiness import check_it_goes_on, start_workers

from icfqueue.broker.aside import KEPT, notes
from icfqueue.broker.queues import lists
from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import QUEUES

ROUNDS = 20 if LONG else 2


def bare(cluster: KillableCluster) -> Any:
    """Return a stranger's connection."""
    return redis.Redis(unix_socket_path=str(cluster.server.socket))


def test_garbage_in_every_queue_is_put_aside_and_the_work_goes_on(
    cluster: KillableCluster,
    few: list[str],
    expected_few: dict[str, str],
    rng: random.Random,
) -> None:
    """Nothing restarts, all visits are done, and 'doctor' shows what there was."""
    before = start_workers(cluster)
    strange = list(garbage().values())
    places = [name for queue in QUEUES for name in lists(queue)]
    sent = 0
    with bare(cluster) as client:
        for turn in range(ROUNDS):
            for one in strange:
                # BRPOP takes from the right: half of it is taken before everything else.
                push = client.rpush if rng.random() < 0.5 else client.lpush
                place = rng.choice(places)
                push(place, one)
                # A task of another queue may have met just that.
                sent += b"icfqueue.export_repo" not in one or "export" not in place
            if turn == 0:
                cluster.enqueue(*few)
        cluster.wait(
            lambda: not any(client.llen(name) for name in places), 60, "all was taken"
        )
        check_it_goes_on(cluster, before, FEW)
        cluster.check_equals(expected_few)
        with cluster.server.broker.connect() as ours:
            # The last one was taken, and may not have been noted yet.
            cluster.wait(lambda: notes(ours)[0] >= sent, 20, "all is noted")
            count, kept = notes(ours)
        assert count == sent
        assert len(kept) == min(KEPT, sent)
        assert client.llen("icfqueue:aside") <= KEPT
    said = cluster.command("doctor")
    assert f"{count} put aside" in said
    assert "\x1b" not in said
    # One line for each queue and reason, not for each message.
    assert cluster.count_in_logs("message.aside") < sent


def test_messages_of_a_stranger_that_look_like_ours_mislead_nobody(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """Of another generation, doubled, of other visits, with the id of another task."""
    before = start_workers(cluster)
    ids = {"headers": {"id": f"study_1/{few[0]}/fetch/1/abc"}}
    with bare(cluster) as client:
        for visit in (*few, "nobody"):
            for generation in (0, 1, 2, 99):
                for level in LEVELS:
                    args = ["study_1", visit, generation]
                    one = raw(args=args, properties={"priority": level}, **ids)
                    client.rpush(lists("fetch")[level], one)
    cluster.enqueue(*few)
    check_it_goes_on(cluster, before, FEW)
    cluster.check_equals(expected_few)


def test_keys_of_a_stranger_stop_nobody(
    cluster: KillableCluster, few: list[str], expected_few: dict[str, str]
) -> None:
    """Kombu's own keys, and keys of the queues' names that are no lists."""
    with bare(cluster) as client:
        client.hset("unacked", "tag", b"\xff no JSON")
        client.zadd("unacked_index", {"tag": 0})
        client.set("unacked_mutex", "x")
        client.sadd("_kombu.binding.fetch", "x", "\x06\x16\x06\x16elsewhere")
        client.set("_kombu.binding.index", "x")
        client.set("icfqueue:aside", "x")
        client.set("export", "x")
        before = start_workers(cluster)
        cluster.enqueue(*few)
        cluster.wait(lambda: cluster.begun() > 5, 30, "some steps")
        client.set("fetch", "x")
        client.delete("index")
        client.sadd("index", "x")
        client.delete("unacked")
        client.set("unacked", "x")
    check_it_goes_on(cluster, before, FEW)
    cluster.check_equals(expected_few)


def test_no_worker_obeys_the_broker(cluster: KillableCluster, few: list[str]) -> None:
    """'celery control shutdown', and the like, come to nothing."""
    before = start_workers(cluster)
    for words in (["cancel_consumer", "fetch"], ["shutdown"]):
        command = [str(Path(sys.executable).with_name("celery"))]
        command += ["-b", cluster.server.broker.url, "control", "-t", "1", *words]
        subprocess.run(command, capture_output=True, check=False, timeout=60)
    cluster.enqueue(*few)
    check_it_goes_on(cluster, before, FEW)
