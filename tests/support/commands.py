"""The installed ``icfqueue`` command, run as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import psutil

BIN = Path(sys.executable).parent
UNKNOWN = 2
"""Exit code of a status of a project that was never enqueued."""

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/status.schema.json").read_text())


@dataclass
class Icfqueue:
    """The command with one store and one environment.

    Called with the command's words; gives what `subprocess.run` gives.
    """

    store: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ICFQUEUE_STORE_DIR": str(self.store),
            "ICFQUEUE_STORE_URL": "https://data.example.org",
            "ICFQUEUE_KEEP_FREE": "0",
            "ICFQUEUE_SETTLE": "0",
            "ICFQUEUE_GRACE": "5",
            "ICFQUEUE_RETRY_BASE": "0.2",
            **self.environment,
        }

    def __call__(
        self, *words: str, timeout: float = 120, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["icfqueue", *words],
            env={**self.environment, **more},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def good(self, *words: str, **more: str) -> str:
        """Run; the exit code must be 0."""
        done = self(*words, **more)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def start(self, *words: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command that stays, as a worker does."""
        with (log or Path(os.devnull)).open("ab") as out:
            return subprocess.Popen(
                ["icfqueue", *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def at_a_terminal(
        self, *words: str, **more: str
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start a command at a pseudo terminal; return our end of that, too."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["icfqueue", *words],
            env={**self.environment, "TERM": "xterm", **more},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return process, ours

    def status(self, project: str = "study_1") -> dict[str, Any]:
        """The JSON of the status, which must fit its schema."""
        done = self("status", project, "--format", "json")
        assert done.returncode in {0, 1}, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(found, SCHEMA)
        return found

    def visit(self, visit: str, project: str = "study_1") -> dict[str, Any]:
        """One visit of the status."""
        return next(v for v in self.status(project)["visits"] if v["visit"] == visit)

    def wait_for(self, what: Any, timeout: float = 60, project: str = "study_1") -> Any:
        """Ask for the status until `what` of it is true."""
        end = time.monotonic() + timeout
        # A command that was only just started has not enqueued anything yet.
        while self("status", project).returncode == UNKNOWN and time.monotonic() < end:
            time.sleep(0.1)
        while True:
            found = self.status(project)
            if what(found):
                return found
            assert time.monotonic() < end, json.dumps(found, indent=1)[:3000]
            time.sleep(0.2)


def outputs(store: Path, project: str = "study_1") -> dict[str, bytes]:
    """Every file of a project by its path, but for the tarballs."""
    root = store / project
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "_dicom.tar" not in path.name
    }


def command_lines() -> list[str]:
    """What every user can read of each process: its number and its arguments."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found
