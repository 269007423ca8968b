"""The steps: named once, in order; everything else is derived."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

import icfqueue.steps
from icfqueue.core.steps import NAMES, QUEUES, STEPS, position, step, ticket_of


def test_names_order_and_queues_are_the_documented_ones() -> None:
    """All three are an interface: status, messages and worker options have them."""
    assert [(one.name, one.queue) for one in STEPS] == [
        ("fetch", "fetch"),
        ("index_tar", "index"),
        ("write_json", "index"),
        ("export_repo", "export"),
        ("update_catalog", "catalog"),
        ("cleanup", "catalog"),
    ]
    assert tuple(one.name for one in STEPS) == NAMES


def test_each_queue_is_named_once_in_the_order_of_the_steps() -> None:
    assert QUEUES == ("fetch", "index", "export", "catalog")


def test_every_step_has_a_module_of_its_name_that_does_it() -> None:
    for name in NAMES:
        module = importlib.import_module(f"icfqueue.steps.{name}")
        assert next(iter(inspect.signature(module.run).parameters)) == "job"


def test_no_other_module_of_the_package_does_a_step() -> None:
    folder = Path(icfqueue.steps.__path__[0])
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == {*NAMES, "job", "registry", "failures"}


def test_only_what_is_made_of_the_tarball_needs_it() -> None:
    """These are passed over for a visit that is complete without its tarball."""
    assert [one.name for one in STEPS if one.reads_tarball] == [
        "index_tar",
        "write_json",
        "export_repo",
    ]


def test_every_step_may_go_without_progress_for_minutes_and_not_for_ever() -> None:
    assert all(60.0 <= one.stall <= 3600.0 for one in STEPS)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_found_by_its_name(name: str) -> None:
    assert step(name).name == name
    assert STEPS[position(name)] is step(name)


@pytest.mark.parametrize("name", ["", "fetsch", "FETCH", "__class__"])
def test_what_is_no_step_is_found_nowhere(name: str) -> None:
    with pytest.raises(KeyError):
        step(name)
    with pytest.raises(ValueError, match="not in tuple"):
        position(name)


def test_a_tarball_that_is_read_as_it_comes_waits_among_the_downloads() -> None:
    """All else waits in its own queue, streamed or not."""
    for name in NAMES:
        assert ticket_of(name, streamed=False) == step(name)
        expected = "fetch" if name == "index_tar" else name
        assert ticket_of(name, streamed=True).name == expected
