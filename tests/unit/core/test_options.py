"""What is done with a visit for which nothing was asked, and what a step need not tell."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import pytest

from icfqueue.core.options import Identifiers, Options, Outcome, identifiers_json


def test_what_nobody_asked_for_removes_and_forces_nothing() -> None:
    assert asdict(Options("https://x")) == {
        "store_url": "https://x",
        "credential": None,
        "force": False,
        "catalog": True,
        "remove_tarball": False,
        "remove_metadata": False,
        "superdataset": True,
        "stream": False,
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
        "identifiers": None,
        "streamed": False,
    }


@pytest.mark.parametrize(
    ("made", "name"), [(Options("https://x"), "force"), (Outcome(worked=True), "worked")]
)
def test_neither_can_be_changed_on_the_way(made: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, True)


def test_of_identifiers_numbers_and_kinds_are_told_and_who_accepted_them() -> None:
    """Nothing found is not the same as nobody looked."""
    assert identifiers_json(Identifiers(2, 1, ("name",), "ada", 0.5), str) == {
        "identifiers": {"paths": 2, "tags": 1, "kinds": ["name"]},
        "identifiers_accepted": {"by": "ada", "at": "0.5"},
    }
    nothing = {"paths": 0, "tags": 0, "kinds": []}
    told = identifiers_json(Identifiers(), str)
    assert told == {"identifiers": nothing, "identifiers_accepted": None}
    assert identifiers_json(None, str) == dict.fromkeys(told)


def test_identifiers_are_said_in_words() -> None:
    assert Identifiers(1, 2, ("name", "birth-date")).words() == (
        "in 1 path and 2 tags (name, birth date)"
    )
    assert Identifiers(kinds=("many",)).words() == "(many)"
    assert Identifiers().words() == "none"
