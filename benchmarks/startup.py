"""How long a command takes to begin, beside a Python that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from benchmarks import inputs
from benchmarks.commands import program
from benchmarks.measure import Row, environment, wait_for_quiet
from benchmarks.scale import Scale

MORE_MOST = 0.35


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    with inputs.workspace() as store:
        inputs.small_visits(store / inputs.PROJECT, 5, 1)
        where = ["--store-dir", str(store)]
        _seconds([program(), "enqueue", inputs.PROJECT, *where])
        for words in (["--help"], ["status", *where], ["status", inputs.PROJECT, *where]):
            yield _row(words, scale.repeat + 4)


def _row(words: list[str], repeat: int) -> Row:
    shown = " ".join(words).partition(" --store-dir")[0]
    row = Row(f"icfqueue {shown}", against="python -c pass")
    if words[0] == "status":
        row.case += ", starts the embedded server"
    command, nothing = [program(), *words], [sys.executable, "-c", "pass"]
    for side in (command, nothing):
        _seconds(side)  # so that compiled modules and files are at hand
    samples: dict[str, list[float]] = {"ours": [], "reference": []}
    peaks = []
    for _ in range(repeat):
        wait_for_quiet()
        seconds, peak = _run(command)
        samples["ours"].append(seconds)
        peaks.append(peak)
        samples["reference"].append(_seconds(nothing))
    row.samples, row.peak_mb = samples, max(peaks)
    row.ours, row.reference = median(samples["ours"]), median(samples["reference"])
    more = row.ours - row.reference
    return row.judge(more, f"{more:.3f} s more", most=MORE_MOST, unit=" s more")


def _seconds(command: list[str]) -> float:
    return _run(command)[0]


def _run(command: list[str]) -> tuple[float, float]:
    """Return the seconds of a command, and the most memory it held itself, in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, ended, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return round(seconds, 4), round(used.ru_maxrss / 1000, 1)
