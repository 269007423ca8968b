"""What a step may ask where nobody guards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from icfqueue.core.errors import Cancelled
from icfqueue.core.guard import UNGUARDED, Guard


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A program that would run for a minute, in a group of its own."""
    made = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    yield made
    made.kill()
    made.wait()


def test_where_nobody_guards_every_call_returns_and_allows() -> None:
    UNGUARDED.advance(bytes=1 << 40, dicoms=7)
    UNGUARDED.advance()
    UNGUARDED.before_change("x")


def test_a_program_is_left_alone_when_all_went_well(
    process: subprocess.Popen[bytes],
) -> None:
    """One git-annex serves many visits."""
    with Guard().minding(process):
        pass
    assert process.poll() is None


def test_a_program_ends_with_the_step_that_fails(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(Cancelled), Guard().minding(process):
        raise Cancelled("x")
    assert process.returncode is not None


def test_a_guard_ends_programs_at_ctrl_c_too(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(KeyboardInterrupt), Guard().minding(process):
        raise KeyboardInterrupt
    assert process.returncode is not None
