"""References made of deposits, with and without the tarball."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from msgspec import structs
from support import datasets

from icfqueue.client import references
from icfqueue.client.references import Told, write_references
from icfqueue.core.errors import BadId, TransientError, UsageError
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import Source
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

ONE, TWO = datasets.images(2)
MEMBERS = [("v/b.dcm", ONE), ("v/a.dcm", TWO), ("v/same.dcm", ONE), ("notes.txt", b"x")]


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    made = make_job("visit_1")
    datasets.put_visit(made, MEMBERS)
    return made


def file(job: Job) -> Path:
    return job.store.path(job.visit, job.visit.metadata_references)


def test_each_image_is_where_the_tarball_has_it(job: Job) -> None:
    (told,) = write_references(job.store, "study_1", [])
    assert told == Told(job.visit, 3)
    content = job.store.path(job.visit, job.visit.tarball).read_bytes()
    refs = json.loads(file(job).read_text())["refs"]
    assert list(refs) == ["v/a.dcm", "v/b.dcm", "v/same.dcm"]
    for path, image in MEMBERS[:3]:
        url, start, length = refs[path]
        assert url == f"{job.options.store_url}/{job.visit.storepath}"
        assert content[start : start + length] == image
    assert not list(job.store.project_dir("study_1").glob(".icfqueue/.references*"))


def test_the_deposit_is_enough_and_the_step_writes_the_same(
    job: Job, make_job: Callable[..., Job], store: Store
) -> None:
    other = make_job("visit_2")
    wished = structs.replace(other.settings, publish_references=True)
    with_setting = replace(other, settings=wished)
    datasets.put_visit(with_setting, MEMBERS)
    before = file(other).read_bytes()
    file(other).unlink()
    for name in (other.visit.tarball, other.visit.metadata_tarball):
        store.path(other.visit, name).unlink()
    assert [told.images for told in write_references(store, "study_1", ["visit_2"])] == [3]
    assert file(other).read_bytes() == before
    assert not file(job).exists(), "only that one was named"


def test_of_what_is_no_deposit_of_ours_there_are_none(job: Job) -> None:
    export = job.store.path(job.visit, job.visit.repo_export)
    whole = export.read_bytes()

    def why() -> str:
        (told,) = write_references(job.store, "study_1", ["visit_1"])
        assert not file(job).exists()
        return told.why_not

    damaged = bytearray(whole)
    at = damaged.index(b"PACK") + 40
    damaged[at : at + 20] = bytes(20)
    export.write_bytes(damaged)
    assert why() == "its dataset is damaged"
    export.write_bytes(whole)
    with ZipFile(export, "a") as opened:
        opened.comment = b""
    assert why() == "its dataset was made by another tool"
    export.unlink()
    assert why() == "it has no dataset"


def test_an_older_deposit_does_not_know_the_places(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("visit_1")
    with monkeypatch.context() as patch:
        patch.setattr("icfqueue.steps.export_repo.tarball_index.read_offsets", nothing)
        datasets.put_visit(job, MEMBERS)
    (told,) = write_references(job.store, "study_1", [])
    assert "'icfqueue run study_1 visit_1' makes it anew" in told.why_not


def nothing(*_: object) -> None:
    """Stand in for a look for places that finds none."""


def test_a_deposit_that_is_replaced_meanwhile_is_read_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = deposit.read, []

    def read(*args: Any) -> Any:
        found: Any = real(*args)
        asked.append(found)
        if len(asked) == 2:
            return replace(found, source=Source("x", "", 0, 0, "", 0))
        return found

    monkeypatch.setattr(references.deposit, "read", read)
    assert [told.images for told in write_references(job.store, "study_1", [])] == [3]
    assert len(asked) == 4
    monkeypatch.setattr(references.deposit, "read", lambda *_: replace(real(*_)))
    monkeypatch.setattr(references, "_TRIES", 0)
    with pytest.raises(TransientError, match="replaced while it was read"):
        list(write_references(job.store, "study_1", []))


@pytest.mark.usefixtures("job")
def test_without_any_deposit_or_with_a_bad_name_it_says_so(store: Store) -> None:
    with pytest.raises(UsageError, match="no visit of study_2 has a dataset"):
        list(write_references(store, "study_2", []))
    for project, visit in (("../x", "v"), ("study_1", "a/b")):
        with pytest.raises(BadId):
            list(write_references(store, project, [visit]))
