"""Whole projects by ``icfqueue run``: what the queue adds, and whether cores are busy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.commands import (
    CpuMeter,
    memory_of_keys,
    program,
    server,
    status,
    used_memory,
)
from benchmarks.measure import Facts, Row, Side, environment, mid
from benchmarks.scale import Scale
from icfqueue.core.steps import NAMES, UPDATE_CATALOG

OVERHEAD_MOST = 1.5
BUSY_LEAST = 0.8
BYTES_MOST = 6_000
JOBS = 2


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    visits = scale.of(60, 300)
    runs = [
        Side("project:small", {"visits": visits}).run()
        for _ in range(scale.of(1, min(3, scale.repeat)))
    ]
    row = Row(
        f"whole project, {visits} small visits, run --jobs {JOBS}",
        ours=mid(runs, "seconds"),
        reference=mid(runs, "ideal_seconds"),
        against=f"sum of the steps' seconds / {JOBS}",
        samples={"ours": [run["seconds"] for run in runs]},
        peak_mb=max(run["peak_mb"] for run in runs),
        facts=runs[-1],
    )
    ratio = mid([{"r": run["seconds"] / run["ideal_seconds"]} for run in runs], "r")
    yield row.judge(ratio, f"{ratio:.2f} x", most=OVERHEAD_MOST, unit=" x")
    bare = mid([{"r": run["seconds"] / run["work_seconds"]} for run in runs], "r")
    alone = Row(
        f"the same, {visits} small visits, without claims and renewals",
        ours=row.ours,
        reference=mid(runs, "work_seconds"),
        against=f"seconds inside the steps / {JOBS}",
        figure_text=f"{bare:.2f} x",
    )
    yield alone
    bytes_each = mid(runs, "bytes_a_visit")
    memory = Row(f"Redis memory, {visits} visits done", ours=bytes_each, unit="B a visit")
    text = f"{bytes_each:,.0f} B a visit, results included"
    yield memory.judge(bytes_each, text, most=BYTES_MOST, unit=" B")
    yield _busy(scale)


def _busy(scale: Scale) -> Row:
    copies = scale.of(4, 8)
    tarball = inputs.tarball("structural")
    side = Side("project:large", {"tarball": str(tarball), "copies": copies})
    runs = [side.run() for _ in range(scale.of(1, min(3, scale.repeat)))]
    row = Row(
        f"run --jobs {JOBS}, {copies} copies of the structural visit",
        ours=mid(runs, "seconds"),
        reference=mid(runs, "cpu_seconds"),
        against="CPU seconds used",
        samples={"busy": [run["busy"] for run in runs]},
        peak_mb=max(run["peak_mb"] for run in runs),
        facts=runs[-1],
    )
    busy = mid(runs, "busy")
    return row.judge(busy, f"{busy:.2f} of both cores", least=BUSY_LEAST)


# Sides


def small(visits: int) -> Facts:
    """Run a project of small visits by the whole command, its start and end included.

    The broker is up before and after, to be asked for its memory.
    """
    facts: Facts = {"visits": visits}
    _on_cores(JOBS)
    with inputs.workspace() as store:
        inputs.small_visits(store / inputs.PROJECT, visits, 3)
        with server(store) as ledger:
            before, began = used_memory(ledger), time.perf_counter()
            _run(store)
            facts["seconds"] = round(time.perf_counter() - began, 3)
            facts["bytes_a_visit"] = round(memory_of_keys(ledger) / visits)
            facts["used_memory_grew"] = used_memory(ledger) - before
            info: dict[str, Any] = ledger.client.info()
        spent = info["used_cpu_user"] + info["used_cpu_sys"]
        facts["redis_cpu_ms_a_visit"] = round(spent / visits * 1000, 2)
        commands = info["total_commands_processed"]
        facts["redis_commands_a_visit"] = round(commands / visits, 1)
        found = status(store)
        assert found["counts"]["done"] == visits, found["counts"]
        facts |= _spent(found, store)
    return facts


def _spent(found: dict[str, Any], store: Path) -> Facts:
    """Return the seconds of all steps; a batch of catalog pages counts once.

    ``ideal_seconds`` are those of the records, which a step's claim and renewals are in;
    ``work_seconds`` leave these out: nothing but the step itself.
    """
    steps = [step for visit in found["visits"] for step in visit["steps"]]
    by_step: dict[str, float] = {}
    for step in steps:
        if step["step"] != UPDATE_CATALOG.name:
            by_step[step["step"]] = by_step.get(step["step"], 0.0) + step["seconds"]
    logged = _logged(store)
    batches = [recorded for name, recorded, _ in logged if name == UPDATE_CATALOG.name]
    by_step[UPDATE_CATALOG.name] = sum(batches)
    first = min(datetime.fromisoformat(x["started_at"]) for x in found["visits"])
    last = max(datetime.fromisoformat(x["finished_at"]) for x in found["visits"])
    return {
        "step_seconds": {name: round(spent, 3) for name, spent in by_step.items()},
        "catalog_batches": len(batches),
        "ideal_seconds": round(sum(by_step.values()) / JOBS, 3),
        "work_seconds": round(sum(work for _, _, work in logged) / JOBS, 3),
        "first_to_last_seconds": round((last - first).total_seconds(), 3),
    }


def _logged(store: Path) -> list[tuple[str, float, float]]:
    """Return step, seconds and seconds of work of every attempt, from the worker's log.

    The visits of a batch begin together and each one's seconds are the batch's; the
    first to be recorded has the batch's own time, without the recording of the others.

    Raises
    ------
    RuntimeError
        The log does not have what it should.
    """
    found: list[tuple[str, float, float]] = []
    for log in sorted(store.glob(".icfqueue/log/*.log")):
        batch_begun = False
        for line in log.read_text().splitlines():
            if (began := _BEGAN.search(line)) and began[1] == UPDATE_CATALOG.name:
                batch_begun = True
            elif done := _DONE.search(line):
                step = done[1]
                if step != UPDATE_CATALOG.name or batch_begun:
                    found.append((step, float(done[2]), float(done[3])))
                batch_begun = batch_begun and step != UPDATE_CATALOG.name
    if missing := set(NAMES) - {step for step, _, _ in found}:
        raise RuntimeError(f"the worker's log lacks the steps {sorted(missing)}")
    return found


_BEGAN = re.compile(r"step\.began \S+ (\w+)")
_DONE = re.compile(r"step\.done \S+ (\w+) .* seconds=([0-9.]+) work_seconds=([0-9.]+)")


def large(tarball: str, copies: int) -> Facts:
    """Run a project of large visits: CPU seconds between first start and last end."""
    facts: Facts = {"copies": copies}
    _on_cores(JOBS)
    with inputs.workspace() as store:
        project = store / inputs.PROJECT
        project.mkdir()
        for number in range(copies):
            shutil.copyfile(tarball, project / f"v{number}_dicom.tar")
        meter = _run(store, metered=True)
        assert meter
        found = status(store)
        assert found["counts"]["done"] == copies
        first = min(datetime.fromisoformat(x["started_at"]) for x in found["visits"])
        last = max(datetime.fromisoformat(x["finished_at"]) for x in found["visits"])
        facts["seconds"] = round((last - first).total_seconds(), 3)
        cpu = meter.between(first.timestamp(), last.timestamp())
        facts["cpu_seconds"] = round(cpu, 3)
        facts["busy"] = round(cpu / (JOBS * facts["seconds"]), 3)
        facts |= {k: v for k, v in _spent(found, store).items() if k == "step_seconds"}
    return facts


def _on_cores(count: int) -> None:
    """Use no more cores than the figure is about; processes inherit it."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _run(store: Path, *, metered: bool = False) -> CpuMeter | None:
    where = ["--store-dir", str(store), "--store-url", inputs.STORE_URL]
    process = subprocess.Popen(
        [program(), "run", inputs.PROJECT, "--jobs", str(JOBS), *where],
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    if not metered:
        assert process.wait(600) == 0
        return None
    with CpuMeter(process.pid) as meter:
        assert process.wait(600) == 0
    return meter
