"""A project on a real broker whose messages are acted on in the test's own process."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import pools
from msgspec import structs

from icfqueue.broker.celery_app import SEPARATOR, TASK_PREFIX, make_app
from icfqueue.broker.queues import Queues
from icfqueue.core.options import Options, Outcome
from icfqueue.core.priority import LEVELS
from icfqueue.core.settings import Settings
from icfqueue.core.steps import QUEUES
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import ACTIVE, Record
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.enqueue import Producer
from icfqueue.pipeline import handle_message
from icfqueue.pipeline.health.store_watch import StoreWatch
from icfqueue.pipeline.messages import Messages
from icfqueue.pipeline.supervisor import Supervisor
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.store.directory import Store
from support.valkey import Valkey

Message = tuple[str, str, str, int]
"""Step, project, visit, generation: what :func:`handle_message.handle` is called with."""

URL = "http://127.0.0.1:9"
"""A store where nobody answers: nothing shall be downloaded."""


@dataclass
class InProcessQueue:
    """Producer, queue, worker and supervisor of one broker."""

    app: Celery
    settings: Settings
    store: Store
    ledger: RedisLedger

    @classmethod
    def on(cls, valkey: Valkey, settings: Settings, ledger: RedisLedger) -> InProcessQueue:
        return cls(make_app(valkey.broker), settings, Store(settings.store_dir), ledger)

    def __post_init__(self) -> None:
        self.messages = Messages(self.app, self.ledger)
        self.queues = Queues(self.ledger.client)
        self.worker = self.another()
        self.producer = Producer(self.settings, self.store, self.ledger, self.messages)
        self.supervisor = self.another_supervisor()

    def another(self, name: str = "host:1", **changed: Any) -> WorkerContext:
        """Return a worker, with settings of its own if some are given."""
        chosen = structs.replace(self.settings, **changed)
        return WorkerContext(
            settings=chosen,
            store=self.store,
            ledger=self.ledger,
            quick=self.ledger,
            messages=self.messages,
            name=name,
        )

    def another_supervisor(self, **changed: Any) -> Supervisor:
        return Supervisor(self.ledger, self.messages, self.queues, self.settings, **changed)

    def close(self) -> None:
        # Kombu's pools are shared by all applications of a process.
        pools.reset()
        self.app.close()

    # What a person does

    def enqueue(
        self, visits: Sequence[Visit], priority: int = 0, **options: Any
    ) -> Options:
        """Enqueue `visits`, whatever became of them before is looked at first."""
        chosen = Options(**{"store_url": URL, **options})
        # As a command does that opens the store.
        StoreWatch(self.store, self.ledger).check(make=True)
        self.producer.enqueue(self.producer.plan(visits, chosen), chosen, priority)
        return chosen

    def build(self, visits: int = 1) -> list[Visit]:
        """Make real visits in the store directory."""
        return build_project(self.store.root, "study_1", visits)

    def hold(self, visit: Visit, token: str = "t", lease: float = 30.0) -> Entry:
        """Claim a queued visit, as a worker does that begins its next step."""
        entry = self.ledger.update_entry(
            visit,
            lambda found: record.claimed(found, token, "w:1", time.time()),
            lease=lease,
        )
        assert entry is not None
        return entry

    def advance(self, visit: Visit, step: str) -> None:
        """Let the visit come as far as `step` by its record alone; nothing is sent."""
        while self.record(visit).step != step:
            self.hold(visit)
            self.ledger.update(
                visit,
                lambda found: record.finished(found, Outcome(worked=True), time.time()),
            )

    def record(self, visit: Visit) -> Record:
        entry = self.ledger.get(visit)
        assert entry is not None
        return entry.record

    # What Celery does

    def take(self) -> Message | None:
        """Take the next message off the queues, as a worker of all queues would."""
        for level in LEVELS:
            for queue in QUEUES:
                name = f"{queue}{SEPARATOR}{level}" if level else queue
                if found := self.ledger.client.rpop(name):
                    return decoded(found)
        return None

    def handle(self, message: Message, worker: WorkerContext | None = None) -> str:
        return handle_message.handle(worker or self.worker, *message).word

    def drain(
        self, until: Callable[[], bool] = lambda: False, seconds: float = 60.0
    ) -> list[tuple[Message, str]]:
        """Act on messages, and look after the visits, until nothing is left to do."""
        done = []
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"not drained: {done[-5:]}"
            if message := self.take():
                done.append((message, self.handle(message)))
                continue
            projects = self.ledger.projects()
            if not any(visit for p in projects for visit in self._active(p)):
                break
            self.supervisor.look()
            time.sleep(0.01)
        return done

    def _active(self, project: str) -> list[Visit]:
        return self.ledger.visits(project, ACTIVE)


def decoded(message: str | bytes) -> Message:
    """Return what a message in a Redis list says."""
    found = json.loads(message)
    args, _, _ = json.loads(base64.b64decode(found["body"]))
    project, visit, generation = args
    return found["headers"]["task"].removeprefix(TASK_PREFIX), project, visit, generation
