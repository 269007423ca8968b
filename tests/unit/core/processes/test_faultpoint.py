"""Fault points do nothing unless a test asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icfqueue.core.processes import faultpoint

CODE = (
    "from icfqueue.core.processes import faultpoint as f\n"
    "f.reach('before x'); f.reach('after v_refs')"
)


def _run(wanted: str | None) -> int:
    more = {} if wanted is None else {faultpoint.VARIABLE: wanted}
    return subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **more}, check=False
    ).returncode


@pytest.mark.parametrize(
    ("wanted", "dies"),
    [
        (None, False),
        ("", False),
        ("after _refs", True),
        ("before _refs", False),
        ("before x", True),
        ("after nothing", False),
    ],
)
def test_a_process_dies_at_the_point_that_was_named_and_nowhere_else(
    wanted: str | None, dies: bool
) -> None:
    assert _run(wanted) == (-signal.SIGKILL if dies else 0)


def test_with_a_marker_file_the_fault_strikes_once(tmp_path: Path) -> None:
    wanted = f"after _refs@{tmp_path / 'marker'}"
    assert [_run(wanted), _run(wanted)] == [-signal.SIGKILL, 0]


def test_points_are_noted_with_time_and_process_one_to_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"{CODE}; import time; print(time.monotonic())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, faultpoint.LOG_VARIABLE: str(log)},
        capture_output=True,
        check=True,
    )
    first, second = (line.split(" ", 2) for line in log.read_text().splitlines())
    assert (first[2], second[2]) == ("before x", "after v_refs")
    assert first[1] == second[1] != str(os.getpid())
    assert float(first[0]) <= float(second[0]) <= float(done.stdout)


def test_of_several_points_the_first_that_is_reached_strikes() -> None:
    assert _run("after nothing;before x") == -signal.SIGKILL


def test_another_signal_can_be_chosen() -> None:
    env = {faultpoint.VARIABLE: "before x", faultpoint.SIGNAL_VARIABLE: "TERM"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **env}, check=False
    )
    assert done.returncode == -signal.SIGTERM
