"""What a step gets when it is run by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from icfqueue.core.guard import UNGUARDED
from icfqueue.steps.job import Job


def test_by_hand_nobody_guards_and_nothing_is_known_before(
    make_job: Callable[..., Job],
) -> None:
    job = make_job("v1")
    assert (job.guard, job.keys, job.dicoms) == (UNGUARDED, None, None)


def test_a_step_cannot_change_the_job_of_the_next(make_job: Callable[..., Job]) -> None:
    with pytest.raises(FrozenInstanceError):
        make_job("v1").dicoms = 7  # type: ignore[misc]
