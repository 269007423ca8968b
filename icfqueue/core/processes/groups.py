"""Programs that are started: what they are told, and their end with all they started.

Every program leads a process group.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


_SECRET = re.compile(
    r"^(ICFQUEUE|DATALAD|CELERY|REDIS|VALKEY)|"
    r"PASSW|SECRET|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY",
    re.IGNORECASE,
)
"""Variables that hold a secret, or settings with one in them
(``DATALAD_CONFIG_OVERRIDES_JSON``)."""

_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]*@")
"""A password in an address (RFC 3986, section 3.2.1)."""


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` for a program that needs no secret.

    The environment of a process can be read by others of the same user, and ends in
    crash reports.
    """
    return {
        name: value
        for name, value in environment.items()
        if not _SECRET.search(name) and not _LOGIN.search(value)
    }


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and every process of its group, and reap it.

    One that hangs in the kernel, as on a stale network file system, cannot be killed
    and is left behind.
    """
    import subprocess

    kill_group(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAPING)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and every process of its group; does not wait."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


REAPING = 5.0
"""Seconds that a killed process may take to end."""
