"""From the name of a step to what does it; what a visit without a tarball passes over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from support.outputs import record

from icfqueue.core.errors import NotSeen
from icfqueue.core.options import Outcome
from icfqueue.core.steps import NAMES, STEPS
from icfqueue.steps import registry
from icfqueue.steps.job import Job

CONTENT = b"tarball"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that are really done; none of them does anything."""
    found: list[str] = []
    for name in NAMES:

        def run(_: Job, name: str = name) -> Outcome:
            found.append(name)
            return Outcome(worked=True)

        monkeypatch.setattr(registry.module_of(name), "run", run)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_step_is_done_by_the_module_of_its_name(
    make_job: Callable[..., Job], asked: list[str], name: str
) -> None:
    assert registry.module_of(name).__name__ == f"icfqueue.steps.{name}"
    assert registry.run(name, make_job("v")).worked
    assert asked == [name]


@pytest.mark.parametrize("name", ["", "job", "registry", "fetch.os", "../fetch"])
def test_only_a_step_is_imported(name: str) -> None:
    with pytest.raises(KeyError):
        registry.module_of(name)


def test_a_visit_that_is_complete_without_its_tarball_builds_nothing(
    make_job: Callable[..., Job], asked: list[str]
) -> None:
    """Downloading and cleaning up look for themselves, and the catalog needs no tarball."""
    job = make_job("v")
    record(job, CONTENT)
    outcomes = {name: registry.run(name, job) for name in NAMES}
    assert asked == [step.name for step in STEPS if not step.reads_tarball]
    passed = [name for name, outcome in outcomes.items() if not outcome.worked]
    assert passed == ["index_tar", "write_json", "export_repo"]
    assert all("up to date" in outcomes[name].note for name in passed)


@pytest.mark.parametrize("how", ["tarball", "force", "no deposit"])
def test_any_other_visit_is_built(
    make_job: Callable[..., Job], asked: list[str], how: str
) -> None:
    job = make_job("v", force=how == "force")
    record(job, CONTENT, deposited=how != "no deposit")
    if how == "tarball":
        job.store.path(job.visit, job.visit.tarball).write_bytes(CONTENT)
    for name in NAMES:
        registry.run(name, job)
    assert asked == list(NAMES)


def test_a_step_is_imported_when_it_is_first_needed() -> None:
    """Some bring with them what takes long."""
    code = (
        "import sys; from icfqueue.steps import registry\n"
        "steps = ('fetch', 'export_repo', 'update_catalog')\n"
        "assert not {f'icfqueue.steps.{name}' for name in steps} & set(sys.modules)\n"
        "registry.module_of('update_catalog')\n"
        "assert 'icfqueue.catalog.study' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_misses_something_looks_twice(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders are read in between, so that the system need not remember them."""
    job = make_job("v")
    done: list[str] = []

    def work(_: Job) -> Outcome:
        done.append("step")
        if len(done) < 3:
            raise NotSeen("not there")
        return Outcome(worked=True)

    monkeypatch.setattr(registry, "module_of", lambda _: SimpleNamespace(run=work))
    monkeypatch.setattr(Job, "look_again", lambda _: done.append("look"))
    assert registry.run("fetch", job).worked
    assert done == ["step", "look", "step"]
    done[:] = []
    monkeypatch.setattr(Job, "look_again", lambda _: None)
    with pytest.raises(NotSeen):
        registry.run("fetch", job)
    assert done == ["step", "step"]
