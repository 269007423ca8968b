"""A store directory, a broker and workers that can be killed, for the tests of chaos.

Everything is a real process: a Valkey server on a Unix socket, ``icfqueue worker`` with
Celery and its children, git and git-annex below them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from icfqueue.core.processes import faultpoint
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import ACTIVE, Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from support.chaos_project import PROJECT, SEED, snapshot
from support.event_log import at_work, events
from support.killable_server import KillableServer
from support.killable_worker import KillableWorker, is_alive
from support.waiting import wait_until

QUICK = {
    "ICFQUEUE_LEASE": "2",
    "ICFQUEUE_RETRY_BASE": "0.2",
    "ICFQUEUE_RETRY_CAP": "2",
    "ICFQUEUE_MAX_CRASHES": "1000",
    "ICFQUEUE_GRACE": "1",
    "ICFQUEUE_STORE_PAUSE": "1",
    "ICFQUEUE_DISK_PAUSE": "0.5",
    "ICFQUEUE_KEEP_FREE": "0",
    "ICFQUEUE_SETTLE": "0",
    "ICFQUEUE_CATALOG_GATHER": "0.5",
}
"""Settings under which what takes minutes at a site takes seconds here."""

Sleeper = tuple[float, KillableWorker]
"""A frozen worker and when (``time.monotonic``) it goes on."""


class KillableCluster:
    """One store directory, one broker, any number of workers.

    Parameters
    ----------
    folder
        For everything that belongs to it; the store is ``<folder>/store``.
    store_url
        What the workers download from.
    env
        More settings for commands and workers.
    root
        The store directory, if it lies elsewhere.
    prefix
        What commands are started with.
    """

    def __init__(
        self,
        folder: Path,
        store_url: str,
        env: dict[str, str] | None = None,
        root: Path | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.prefix = prefix
        self.root = root or folder / "store"
        (self.root / PROJECT).mkdir(parents=True, exist_ok=True)
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.events = folder / "events"
        self.events.touch()
        self.server = KillableServer(folder / "broker")
        self.server.start()
        self.ledger = RedisLedger(self.server.broker.connect(patient=True))
        self.workers: list[KillableWorker] = []
        self.logs: list[Path] = []
        self.env = {
            **QUICK,
            "ICFQUEUE_STORE_DIR": str(self.root),
            "ICFQUEUE_STORE_URL": store_url,
            "ICFQUEUE_BROKER_URL": self.server.broker.url,
            "TMPDIR": str(self.tmp),
            "PYTHONWARNINGS": "ignore",
            faultpoint.LOG_VARIABLE: str(self.events),
            **(env or {}),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self.workers):
            self.kill(worker)
        self.server.close()

    # Commands

    def start_command(self, *words: str, **env: str) -> KillableWorker:
        """Start ``icfqueue <words>``, in a session of its own; output goes to a log."""
        log = self.folder / f"log-{len(self.logs):03d}"
        self.logs.append(log)
        environment = {**os.environ, **self.env, **env}
        started = KillableWorker.start(self._command(*words), environment, log)
        self.workers.append(started)
        return started

    def start_worker(self, concurrency: int = 1, *words: str, **env: str) -> KillableWorker:
        return self.start_command(
            "worker", "--concurrency", str(concurrency), *words, **env
        )

    def command(self, *words: str, code: int = 0, **env: str) -> str:
        """Run ``icfqueue <words>`` to its end and return what it printed."""
        done = subprocess.run(
            self._command(*words),
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def _command(self, *words: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "icfqueue", *words]

    def enqueue(self, *words: str) -> str:
        return self.command("enqueue", PROJECT, *words)

    # Violence

    def begun(self) -> int:
        """Return how many steps were begun so far."""
        return sum(event.words[0] == "began" for event in events(self.events))

    def wait_for_some_step(self, rng: random.Random, among: float = 5) -> None:
        """Wait for a random moment within one of the next steps.

        A project that is drained by then begins anew, so that there is one.
        """
        goal = self.begun() + rng.uniform(0, among)
        self.wait(
            lambda: self.begun() > goal or not self.active(), 60, "the next steps begin"
        )
        if not self.active():
            self.enqueue("--force", *(record.visit.id for record in self.records()))
        time.sleep(rng.uniform(0, 0.12))

    def thaw_due(self, asleep: list[Sleeper]) -> list[Sleeper]:
        """Let those go on whose time has come; return the others."""
        now = time.monotonic()
        for when, worker in asleep:
            if when <= now:
                worker.thaw()
        return [(when, worker) for when, worker in asleep if when > now]

    def any_step_runs(self) -> bool:
        """Tell whether a living process is within a step."""
        return any(is_alive(pid) for pid in at_work(self.events).values())

    def count_in_logs(self, words: str) -> int:
        """Return how often the logs have `words`."""
        return sum(log.read_text(errors="replace").count(words) for log in self.logs)

    def print_report(self, words: str) -> None:
        """Print what was done, for the report of a long run."""
        sys.stdout.write(f"chaos: {words}; {self.begun()} steps begun\n")

    def kill(self, worker: KillableWorker) -> None:
        """Kill all processes of `worker`, as the end of its node would."""
        killed = worker.kill()
        now = time.monotonic()
        with self.events.open("a") as file:
            file.write("".join(f"{now:.6f} {pid} died\n" for pid in killed))
        if worker in self.workers:
            self.workers.remove(worker)

    # Questions

    def counts(self) -> dict[State, int]:
        return {
            state: count for state, count in self.ledger.counts(PROJECT).items() if count
        }

    def records(self) -> list[Record]:
        return self.ledger.records(PROJECT)

    def record(self, name: str) -> Record:
        entry = self.ledger.get(Visit(PROJECT, name))
        assert entry, name
        return entry.record

    def active(self) -> int:
        counts = self.ledger.counts(PROJECT)
        return sum(counts[state] for state in ACTIVE)

    def wait(self, true: Callable[[], object], seconds: float, what: str) -> None:
        wait_until(true, seconds, what, self.explain)

    def wait_drained(self, seconds: float) -> None:
        """Wait until nothing is left to be done."""
        self.wait(lambda: not self.active(), seconds, "the project is drained")

    def status(self) -> dict[str, object]:
        """Return what ``icfqueue status --format json`` prints."""
        found: dict[str, object] = json.loads(
            self.command("status", PROJECT, "--format", "json")
        )
        return found

    def explain(self) -> str:
        """Return what may explain a failure: records that are not done, ends of logs."""
        lines = [f"seed {SEED}", str(self.counts())]
        lines += [
            f"{record.visit.id} {record.state} at {record.step} "
            f"{record.steps[min(record.position, 5)]} error={record.error}"
            for record in self.records()
            if record.state != State.DONE
        ]
        for log in self.logs[-4:]:
            lines += [
                f"--- {log.name}",
                *log.read_text(errors="replace").splitlines()[-25:],
            ]
        return "\n".join(lines)

    # What must hold

    def check_equals(self, expected: dict[str, str]) -> None:
        """Fail unless the project's folder has the paths and the bytes of `expected`."""
        differ = self.differing(expected)
        assert not differ, differ

    def differing(self, expected: dict[str, str]) -> list[str]:
        """Return the paths with other bytes than expected; fail if the paths differ."""
        found = snapshot(self.root / PROJECT)
        assert sorted(found) == sorted(expected), (
            f"only here: {sorted(found.keys() - expected.keys())}; "
            f"missing: {sorted(expected.keys() - found.keys())}\n{self.explain()}"
        )
        return [path for path, md5 in expected.items() if found[path] != md5]

    def check_no_traceback(self) -> None:
        """Fail if a log has a traceback."""
        for log in self.logs:
            text = log.read_text(errors="replace")
            assert "Traceback" not in text, f"{log}:\n{text[-4000:]}"
