"""Measuring: each side of a case in a fresh process, in turn, with its peak memory."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scale import Scale

ROOT = Path(__file__).parents[1]

LONGEST = 1800.0
"""Seconds after which a side is given up."""

Facts = dict[str, Any]
"""What a side tells of one run: ``seconds``, and whatever else is worth keeping."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a function and what it is called with.

    Attributes
    ----------
    function
        ``module:name`` below ``benchmarks``; gets `arguments`, returns :data:`Facts`.
        Runs in a process of its own, and times itself: the start of Python is left out,
        because workers start once.
    arguments
        JSON types only.
    """

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Facts:
        """Run once; adds ``peak_mb``, of all processes of the side together."""
        wait_for_quiet()
        command = [sys.executable, "-m", "benchmarks.measure", self.function]
        process = subprocess.Popen(
            [*command, json.dumps(self.arguments)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            with peak_of(process.pid) as peak:
                out, _ = process.communicate(timeout=LONGEST)
        except BaseException:
            # Ctrl-C, or a side that does not end: nothing of it is to go on.
            _end(process)
            raise
        if process.returncode:
            raise RuntimeError(f"{self.function} ended with {process.returncode}")
        facts: Facts = json.loads(out.splitlines()[-1])
        return {"peak_mb": round(peak.bytes / 1e6, 1), **facts}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a side, which leads a group; it gets a moment to clear up."""
    for number, patience in ((signal.SIGINT, 5.0), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


@dataclass
class Row:
    """A line of the table.

    Attributes
    ----------
    case
        What was measured.
    ours, reference
        Medians, in `unit`; None where a side does not exist.
    against
        What the reference is.
    figure
        The number that the target is about, as `figure_text` shows it.
    target, met
        What was asked for and whether it was reached; None without a target.
    peak_mb
        Most memory that our side held, all its processes together.
    samples, facts
        Every single value, and what else was seen.
    """

    case: str
    ours: float | None = None
    reference: float | None = None
    against: str = ""
    unit: str = "s"
    figure: float | None = None
    figure_text: str = ""
    target: str = ""
    met: bool | None = None
    peak_mb: float | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    def judge(
        self,
        figure: float,
        text: str,
        *,
        most: float | None = None,
        least: float | None = None,
        unit: str = "",
    ) -> Row:
        """Set the figure and compare it with the target."""
        self.figure, self.figure_text = round(figure, 4), text
        if most is not None:
            self.target, self.met = f"≤ {most:g}{unit}", figure <= most
        elif least is not None:
            self.target, self.met = f"≥ {least:g}{unit}", figure >= least
        return self

    def judge_faster(self, least: float) -> Row:
        """Judge how many times faster our side is than the reference."""
        assert self.ours
        assert self.reference
        faster = self.reference / self.ours
        return self.judge(faster, f"{faster:.0f} x faster", least=least, unit=" x")

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in ``results.json``."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def turns(
    ours: Side, reference: Side | None, repeat: int, reference_repeat: int | None = None
) -> tuple[list[Facts], list[Facts]]:
    """Run both sides in turn (A B A B …) and return what each run told.

    Parameters
    ----------
    repeat, reference_repeat
        How often; the reference less often where it takes minutes.
    """
    mine: list[Facts] = []
    others: list[Facts] = []
    wanted = repeat if reference_repeat is None else reference_repeat
    for number in range(max(repeat, wanted)):
        if number < repeat:
            mine.append(ours.run())
        if reference and number < wanted:
            others.append(reference.run())
    return mine, others


def compare(
    case: str,
    ours: Side,
    reference: Side | None,
    against: str,
    *,
    repeat: int,
    reference_repeat: int | None = None,
) -> Row:
    """Run both sides in turn; the row has medians, peak memory and all samples."""
    mine, others = turns(ours, reference, repeat, reference_repeat)
    return row_of(case, mine, others, against)


def against_slow(case: str, ours: Side, reference: Side, what: str, scale: Scale) -> Row:
    """Compare with a reference that takes so long that it is run twice."""
    slow = scale.of(1, 2)
    return compare(case, ours, reference, what, repeat=scale.repeat, reference_repeat=slow)


def row_of(
    case: str, mine: list[Facts], others: list[Facts] | None = None, against: str = ""
) -> Row:
    """Return the row of runs that were made: medians, peak memory, all samples."""
    row = Row(case, ours=mid(mine, "seconds"), against=against)
    row.samples["ours"] = [run["seconds"] for run in mine]
    row.peak_mb = max(run["peak_mb"] for run in mine)
    if others:
        row.reference = mid(others, "seconds")
        row.samples["reference"] = [run["seconds"] for run in others]
        row.facts["reference_peak_mb"] = max(run["peak_mb"] for run in others)
        row.facts |= {f"reference_{k}": v for k, v in _rest(others[-1]).items()}
    row.facts |= _rest(mine[-1])
    return row


def _rest(facts: Facts) -> Facts:
    return {k: v for k, v in facts.items() if k not in {"seconds", "peak_mb"}}


def mid(runs: list[Facts], name: str) -> float:
    """Return the median of one value over `runs`."""
    return round(float(median(run[name] for run in runs)), 5)


# The rest of the machine

PATIENCE = "ICFQUEUE_BENCH_PATIENCE"
"""Longest wait for a quiet machine before each run, in seconds; set by ``--patience``."""

QUIET = 0.15
"""Share of all cores that others may use."""


def wait_for_quiet() -> None:
    """Wait until hardly anything else runs, or for as long as patience lasts."""
    end = time.monotonic() + float(os.environ.get(PATIENCE) or 0)
    while time.monotonic() < end and _busy(0.25) > QUIET:
        pass


def _busy(seconds: float) -> float:
    """Return the share of all cores that was used during the next `seconds`."""
    before = _cpu_times()
    time.sleep(seconds)
    passed = [after - then for then, after in zip(before, _cpu_times(), strict=True)]
    idle = passed[3] + passed[4]  # and waiting for the disk: proc_stat(5)
    return 1 - idle / max(1, sum(passed))


def _cpu_times() -> list[int]:
    words = Path("/proc/stat").read_text().partition("\n")[0].split()
    return [int(word) for word in words[1:9]]


# Memory


@dataclass
class Peak:
    """Most memory that a tree of processes held at one moment, in bytes."""

    bytes: int = 0


PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def peak_of(pid: int, pause: float = 0.02) -> Iterator[Peak]:
    """Watch the resident memory of a process and all its descendants.

    Pages that two of them share count twice; what a process held between two looks is
    seen by its own high-water mark (``VmHWM``), if it is alone.
    """
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(pause):
            members = list(_tree(pid))
            held = sum(_resident(member) for member in members)
            if len(members) == 1:
                held = max(held, _high_water(pid))
            peak.bytes = max(peak.bytes, held)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM")), 0)


# The other side of Side.run


def environment() -> dict[str, str]:
    """Return the environment of every process that is measured: a home of its own."""
    from benchmarks import inputs

    dropped = ("ICFQUEUE_", "GIT_", "DATALAD_", "SLURM_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env.pop("PYTHONUNBUFFERED", None)
    folder = Path(sys.executable).parent
    env["PATH"] = os.pathsep.join([str(folder), env.get("PATH", os.defpath)])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return env | inputs.home()


@contextmanager
def timed(facts: Facts) -> Iterator[None]:
    """Set ``seconds`` of `facts` to what the block takes."""
    began = time.perf_counter()
    yield
    facts["seconds"] = round(time.perf_counter() - began, 5)


def _main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    print(json.dumps(function(**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    _main()
