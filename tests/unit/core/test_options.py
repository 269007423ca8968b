"""What is done with a visit for which nothing was asked, and what a step need not tell."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import pytest

from icfqueue.core.options import Options, Outcome


def test_what_nobody_asked_for_removes_and_forces_nothing() -> None:
    assert asdict(Options("https://x")) == {
        "store_url": "https://x",
        "credential": None,
        "force": False,
        "catalog": True,
        "remove_tarball": False,
        "remove_metadata": False,
        "superdataset": True,
    }


def test_an_option_that_this_version_does_not_know_is_no_silent_default() -> None:
    """A record of a newer version is not half understood."""
    with pytest.raises(TypeError, match="compress"):
        Options(store_url="https://x", compress=True)  # type: ignore[call-arg]  # none of ours


def test_a_step_tells_only_what_is_new() -> None:
    assert asdict(Outcome(worked=False)) == {
        "worked": False,
        "tar_bytes": None,
        "tar_md5": None,
        "dicoms": None,
        "refs": None,
        "note": "",
        "fingerprint": None,
    }


@pytest.mark.parametrize(
    ("made", "name"), [(Options("https://x"), "force"), (Outcome(worked=True), "worked")]
)
def test_neither_can_be_changed_on_the_way(made: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, True)
