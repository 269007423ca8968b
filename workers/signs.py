"""Signs of a worker's life: what it is and does, told to the broker again and again.

In threads of the main process, for its own loop, the supervisor and the visits are not to
wait for a slow broker, nor a sign of life for a file system that does not answer.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata

import redis
from msgspec import structs

from icfqueue import __version__
from icfqueue.core.errors import IcfqueueError
from icfqueue.dataset import programs
from icfqueue.dataset.sample import fingerprint
from icfqueue.ledger.roster import EVERY, JobSign, Sign
from icfqueue.pipeline.worker_context import WorkerContext
from icfqueue.store import identity
from icfqueue.store.beneath.sharing import UMASK
from icfqueue.store.directory import Store

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that a program has to tell its version."""


SETTLED = 2.0
"""Seconds after its first sign in which a worker does not look for versions: git-annex
takes a tenth of a second to tell its own, which small projects would wait for."""

LOOK = 0.1
"""Seconds between two looks whether what runs at a stop has ended."""


@dataclass
class Disk:
    """The store directory as this machine sees it, looked at in a thread of its own.

    A look at a network file system whose server is away may never end.
    """

    store: Store
    store_id: str = ""
    free: int | None = None
    total: int | None = None
    _thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin another look, unless one has not ended; what is known stays until then."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="disk", daemon=True)
            self._thread.start()
            # As a rule it takes no time at all.
            self._thread.join(timeout=0.5)
        if self._thread.is_alive():
            self.free = self.total = None

    def _look(self) -> None:
        try:
            found = os.statvfs(self.store.root)
            self.store_id = identity.read(self.store) or ""
        except (OSError, IcfqueueError):
            self.free = self.total = None
            self.store_id = ""
            return
        self.free = found.f_bavail * found.f_frsize
        self.total = found.f_blocks * found.f_frsize


@dataclass
class Signs:
    """Says every few seconds that this worker lives, until it stops.

    Attributes
    ----------
    worker
        Whose connection that does not wait is used.
    processes, queues
        How many visits it works on at once, and what it serves.
    jobs
        Returns what its processes are at.
    """

    worker: WorkerContext
    processes: int
    queues: Sequence[str]
    jobs: Callable[[], Sequence[JobSign]]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="signs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the last sign away once nothing is worked on any more."""
        self._stop.set()
        if self._thread is not None and not self.jobs():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        sign, disk, sample = self._first(), Disk(self.worker.store), Sample()
        sweep, pause = True, SETTLED
        while not self._ended():
            disk.look()
            # If the broker is away, the next sign may reach it.
            with suppress(redis.RedisError, OSError):
                if not sign.since:
                    sign = structs.replace(sign, since=self.worker.quick.now())
                said = _now(sign, disk, tuple(self.jobs()))
                self.worker.quick.roster.say(said, sweep=sweep)
                sweep = False
            self._pause(pause)
            if not sign.versions:
                sign, pause = structs.replace(sign, versions=versions()), EVERY
                if sign.writes:
                    sample.begin()
            sign = structs.replace(sign, sample=sample.found)
        with suppress(redis.RedisError, OSError):
            self.worker.quick.roster.gone(sign.name)

    def _ended(self) -> bool:
        """Tell whether there is no more to say: what runs at a stop is shown to its end."""
        return self._stop.is_set() and not self.jobs()

    def _pause(self, seconds: float) -> None:
        """Wait for the next sign, or for the end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._ended():
            if self._stop.is_set():
                time.sleep(LOOK)
            else:
                self._stop.wait(end - time.monotonic())

    def _first(self) -> Sign:
        """Return what does not change while a worker lives."""
        host, _, pid = self.worker.name.rpartition(":")
        return Sign(
            name=self.worker.name,
            host=host,
            pid=int(pid),
            since=0.0,
            processes=self.processes,
            queues=tuple(self.queues),
            glibc=_glibc(),
            umask=f"{UMASK:04o}",
            store_dir=str(self.worker.store.root),
        )


@dataclass
class Sample:
    """Finds out what this worker would write, in a thread of its own.

    Attributes
    ----------
    found
        Its hash; empty until it is known, and for ever where it cannot be made.
    """

    found: str = ""

    def begin(self) -> None:
        """Begin; does not wait: programs of a file system that hangs do not end."""
        threading.Thread(target=self._make, name="sample", daemon=True).start()

    def _make(self) -> None:
        try:
            self.found = fingerprint()
        except (IcfqueueError, OSError) as error:
            log.warning("worker.sample: what it would write is not known: %s", error)


def _now(first: Sign, disk: Disk, jobs: tuple[JobSign, ...]) -> Sign:
    """Return the sign of this moment."""
    return structs.replace(
        first,
        store_id=disk.store_id,
        disk_free=disk.free,
        disk_total=disk.total,
        jobs=jobs,
        clock=time.time(),
    )


def versions() -> dict[str, str]:
    """Return the versions of what a dataset depends on, empty where it is not found."""
    return {
        "icfqueue": __version__,
        "python": platform.python_version(),
        "git": _said(["git", "version"]).removeprefix("git version "),
        "git-annex": _said(["git-annex", "version", "--raw"]),
        "datalad": _of_package("datalad"),
    }


def _of_package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _said(command: list[str]) -> str:
    """Return the first line that a program prints; empty if it prints none in time."""
    try:
        done = subprocess.run(
            [programs.find_program(command[0]), *command[1:]],
            env=programs.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, IcfqueueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").partition("\n")[0].strip()


def _glibc() -> str:
    """Return the version of the GNU C library; empty with another."""
    try:
        words = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
    return words.removeprefix("glibc ").strip()
