"""What a worker process has at hand is made of its settings."""

from __future__ import annotations

import os

from support.in_process_queue import InProcessQueue

from icfqueue.ledger.retry_policy import RetryPolicy
from icfqueue.pipeline.worker_context import WorkerContext


def test_retries_follow_the_settings_of_the_site(in_process_queue: InProcessQueue) -> None:
    worker = in_process_queue.another(
        max_attempts=7, retry_base=1.5, retry_cap=9.0, disk_pause=3.0
    )
    assert worker.policy == RetryPolicy(7, 1.5, 9.0, 3.0)


def test_the_breaker_of_a_worker_is_that_of_all_workers_of_the_broker(
    in_process_queue: InProcessQueue,
) -> None:
    """It keeps nothing itself: what one notes, the other reads."""
    one, two = in_process_queue.another("host:1"), in_process_queue.another("host:2")
    assert one.breaker.ledger is two.breaker.ledger is in_process_queue.ledger
    assert one.breaker.settings is one.settings


def test_a_worker_is_called_by_host_and_process_and_is_not_stopping(
    in_process_queue: InProcessQueue,
) -> None:
    made = WorkerContext(
        settings=in_process_queue.settings,
        store=in_process_queue.store,
        ledger=in_process_queue.ledger,
        quick=in_process_queue.ledger,
        messages=in_process_queue.messages,
    )
    assert made.name.rpartition(":")[2] == str(os.getpid())
    assert not made.stopping.asked
    assert made.keys is None
