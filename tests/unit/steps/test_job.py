"""What a step gets when it is run by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest

from icfqueue.core.errors import NotInStore, NotSeen
from icfqueue.core.guard import UNGUARDED
from icfqueue.steps.job import Job


def test_by_hand_nobody_guards_and_nothing_is_known_before(
    make_job: Callable[..., Job],
) -> None:
    job = make_job("v1")
    assert (job.guard, job.keys, job.dicoms) == (UNGUARDED, None, None)


def test_a_step_cannot_change_the_job_of_the_next(make_job: Callable[..., Job]) -> None:
    with pytest.raises(FrozenInstanceError):
        make_job("v1").dicoms = 7  # type: ignore[misc]  # what is refused


@pytest.mark.parametrize("vouched", [True, False])
def test_what_an_earlier_step_vouches_for_is_only_not_seen_yet(
    make_job: Callable[..., Job], vouched: bool
) -> None:
    job = replace(make_job("v"), vouched=vouched)
    missing = NotInStore("it is not there")
    found = job.unseen(missing)
    if vouched:
        assert isinstance(found, NotSeen)
        assert found.message.startswith("it is not there")
        assert "mount options" in found.hint.lower()
    else:
        assert found is missing


@pytest.mark.parametrize(
    ("vouched", "told", "found", "stale"),
    [
        (True, "a", "b", True),
        (True, "a", "a", False),
        (True, None, "b", False),
        (False, "a", "b", False),
    ],
)
def test_metadata_of_another_tarball_than_the_record_tells_of_are_stale(
    make_job: Callable[..., Job], vouched: bool, told: str | None, found: str, stale: bool
) -> None:
    job = replace(make_job("v"), vouched=vouched, md5=told)
    assert job.is_stale(found) is stale
