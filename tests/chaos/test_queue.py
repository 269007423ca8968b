"""The queue under real workers: messages lost among many, and projects that share."""

from __future__ import annotations

import time
from itertools import accumulate
from typing import Any

from support.chaos_project import LONG, PROJECT, build_visits
from support.killable_cluster import KillableCluster

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.queues import Queues, lists
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.enqueue import Producer
from icfqueue.pipeline.messages import Messages
from icfqueue.pipeline.supervisor import Supervisor
from icfqueue.store.directory import Store

QUEUED = 100_000 if LONG else 5_000
"""Visits that wait; there is no tarball of any."""

NOTICED = 15.0
"""Seconds within which a lost message must be noticed, however many wait."""

URGENT, USUAL = lists("fetch")[5], lists("fetch")[9]
"""The lists of unbegun visits of priority 4 and 0."""


class Bench:
    """Producer and supervisor on the cluster's broker, without workers."""

    def __init__(self, cluster: KillableCluster) -> None:
        broker = cluster.server.broker
        self.client: Any = broker.connect()
        self.ledger = RedisLedger(broker.connect())
        self.app = make_app(broker)
        messages = Messages(self.app, self.ledger)
        settings = Settings(store_dir=cluster.root, keep_free=0)
        self.producer = Producer(settings, Store(cluster.root), self.ledger, messages)
        queues = Queues(broker.connect())
        self.supervisor = Supervisor(self.ledger, messages, queues, settings)

    def enqueue(self, project: str, count: int, priority: int = 0) -> float:
        """Enqueue visits; return the seconds that it took."""
        visits = [Visit(project, f"v{number:06d}") for number in range(count)]
        options = Options("http://127.0.0.1:9")
        began = time.monotonic()
        self.producer.enqueue(self.producer.plan(visits, options), options, priority)
        return time.monotonic() - began


def test_urgent_messages_lost_while_many_wait_are_sent_again_at_once(
    cluster: KillableCluster,
) -> None:
    """Two urgent ones and two of the many; nothing is read that grows with the queue."""
    bench = Bench(cluster)
    before = bench.client.info("memory")["used_memory"]
    spent = bench.enqueue("many", QUEUED)
    each = (bench.client.info("memory")["used_memory"] - before) / QUEUED
    assert each < 3_000
    bench.enqueue("urgent", 2, priority=4)
    assert (bench.client.llen(URGENT), bench.client.llen(USUAL)) == (2, QUEUED)
    bench.client.delete(URGENT)
    bench.client.rpop(USUAL)
    bench.client.rpop(USUAL)
    began = time.monotonic()
    longest = 0.0
    while (bench.client.llen(URGENT), bench.client.llen(USUAL)) != (2, QUEUED):
        look = time.monotonic()
        bench.supervisor.look()
        longest = max(longest, time.monotonic() - look)
        assert time.monotonic() < began + NOTICED
        time.sleep(0.5)
    cluster.print_report(
        f"{QUEUED} queued in {spent:.1f} s, {each:.0f} B each; lost messages noticed "
        f"after {time.monotonic() - began:.1f} s, the longest look {longest:.3f} s"
    )
    # And no more than were lost.
    for _ in range(8):
        bench.supervisor.look()
        time.sleep(1.0)
    assert (bench.client.llen(URGENT), bench.client.llen(USUAL)) == (2, QUEUED)
    bench.app.close()


BIG, SMALL = 150, 6
"""Visits of two projects of one priority."""


def test_an_equal_project_does_not_wait_for_all_visits_of_another(
    cluster: KillableCluster,
) -> None:
    """The second is enqueued when the first is under way."""
    for project, count in (("big", BIG), ("small", SMALL)):
        build_visits(cluster.folder / project, count)
        (cluster.folder / project / PROJECT).rename(cluster.root / project)
    cluster.command("enqueue", "big", "--no-catalog")
    cluster.start_worker(2)
    ledger = cluster.ledger
    cluster.wait(lambda: ledger.counts("big")[State.DONE] > 2, 60, "the first are done")
    cluster.command("enqueue", "small", "--no-catalog")
    before = ledger.counts("big")[State.DONE]
    cluster.wait(
        lambda: ledger.counts("small")[State.DONE] == SMALL, 90, "the other is done"
    )
    meanwhile = ledger.counts("big")[State.DONE] - before
    cluster.wait(lambda: ledger.counts("big")[State.DONE] == BIG, 120, "all are done")
    most = most_under_way(ledger.records("big"))
    cluster.print_report(
        f"{SMALL} visits done while {meanwhile} of {BIG} of another project were; "
        f"at most {most} of these under way at once"
    )
    assert before < BIG // 2
    assert meanwhile < BIG // 4
    # Visit by visit nonetheless, not step by step.
    assert most < BIG // 2


def most_under_way(records: list[Record]) -> int:
    """Return how many visits at most had begun and not ended at one time."""
    changes = sorted(
        (at, change)
        for found in records
        for at, change in ((found.started_at, 1), (found.finished_at, -1))
        if at is not None
    )
    return max(accumulate(change for _, change in changes))
