"""Fault points do nothing unless a test asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icfqueue.core import faultpoint

CODE = (
    "from icfqueue.core import faultpoint as f\n"
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
