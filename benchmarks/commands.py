"""Running ``icfqueue`` itself, and looking at its records and its broker meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from benchmarks import inputs
from benchmarks.measure import _tree, environment

TICKS = os.sysconf("SC_CLK_TCK")


def program() -> str:
    """Return the path of the ``icfqueue`` command beside this Python."""
    return str(Path(sys.executable).parent / "icfqueue")


def call(store: Path, *words: str) -> tuple[float, str]:
    """Run a command; return the seconds it took and what it printed.

    Raises
    ------
    RuntimeError
        It ended with an error.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [program(), *words, "--store-dir", str(store), "--store-url", inputs.STORE_URL],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = round(time.perf_counter() - began, 4)
    if done.returncode:
        raise RuntimeError(f"icfqueue {words} ended with {done.returncode}: {done.stderr}")
    return seconds, done.stdout


def status(store: Path, project: str = inputs.PROJECT) -> dict[str, Any]:
    """Return what ``status PROJECT --format json`` prints."""
    _, text = call(store, "status", project, "--format", "json")
    found: dict[str, Any] = json.loads(text)
    return found


@contextmanager
def worker(store: Path, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Have ``icfqueue worker`` run for the length of a block."""
    words = ["worker", "--concurrency", str(processes), "--loglevel", "warning"]
    where = ["--store-dir", str(store), "--store-url", inputs.STORE_URL]
    process = subprocess.Popen(
        [program(), *words, *where], env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def server(store: Path) -> Iterator[Any]:
    """Keep the embedded broker of a store up; yields a ledger."""
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.ledger.redis_ledger import RedisLedger

    with EmbeddedServer(store) as running:
        client = running.broker.connect()
        yield RedisLedger(client)
        client.close()


def used_memory(ledger: Any) -> int:
    """Return the bytes that the broker's data take, as Redis counts them."""
    return int(ledger.client.info("memory")["used_memory"])


def memory_of_keys(ledger: Any) -> int:
    """Return the bytes that all keys of the broker take, queues and results included.

    Unlike :func:`used_memory` it leaves out what the server needs anyway, about 1 MB,
    which would show where there are few visits.
    """
    keys = ledger.client.keys("*")
    pipe = ledger.client.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=0)
    return sum(size or 0 for size in pipe.execute())


def wait_for(seen: Callable[[], bool], limit: float, pause: float = 0.02) -> float:
    """Wait until `seen` says so; return the seconds it took.

    Raises
    ------
    TimeoutError
        It did not within `limit` seconds.
    """
    began = time.perf_counter()
    while not seen():
        if time.perf_counter() - began > limit:
            raise TimeoutError(f"not within {limit} s")
        time.sleep(pause)
    return round(time.perf_counter() - began, 4)


class CpuMeter:
    """Samples the CPU seconds of a process and all its descendants.

    A process that ended counts with its parent, which waited for it; where nobody did,
    as for a worker that is killed at the end, what it had used stays counted.
    """

    def __init__(self, pid: int, pause: float = 0.05) -> None:
        self.samples: list[tuple[float, float]] = []
        self._pid, self._pause = pid, pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            used = sum(_cpu(pid) for pid in _tree(self._pid))
            most = self.samples[-1][1] if self.samples else 0.0
            self.samples.append((time.time(), max(used, most)))

    def between(self, first: float, last: float) -> float:
        """Return the CPU seconds used between two times (seconds since 1970)."""
        return self._at(last) - self._at(first)

    def _at(self, when: float) -> float:
        """Interpolate between the samples around `when`."""
        before = max((s for s in self.samples if s[0] <= when), default=self.samples[0])
        after = min((s for s in self.samples if s[0] > when), default=before)
        if after[0] == before[0]:
            return before[1]
        share = (when - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])


def _cpu(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime, and those of children that were waited for: proc_pid_stat(5).
    return sum(map(int, words[11:15])) / TICKS
