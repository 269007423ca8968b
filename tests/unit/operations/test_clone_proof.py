"""Whether a deposit gives back what it promises: real clones by DataLad."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import datasets
from support.metadata import write_metadata

from icfqueue.demo.server import DemoStore
from icfqueue.operations import clone_proof
from icfqueue.operations.clone_proof import prove
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store


@pytest.fixture
def web(store: Store) -> Iterator[DemoStore]:
    """The store directory itself, served as it is."""
    with DemoStore(store.root, auth=False) as made:
        yield made


@pytest.fixture
def job(web: DemoStore, make_job: Callable[..., Job]) -> Job:
    """A visit with a deposit of three images."""
    made = make_job("v1", store_url=web.url)
    contents = datasets.images(3)
    datasets.put_visit(made, [(f"s/{n}.dcm", image) for n, image in enumerate(contents)])
    return made


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_images_come_back_with_the_right_md5_and_nothing_is_left(
    job: Job, temporary: Path
) -> None:
    proof = prove(job.store, job.visit, 2)
    assert proof.good, proof.words
    assert proof.words == "3 DICOMs promised, 2 got back with the right MD5"
    assert list(temporary.iterdir()) == []


def test_another_tarball_in_the_store_is_no_proof(job: Job, temporary: Path) -> None:
    """Same size, same names, other pixels."""
    tarball = job.store.path(job.visit, job.visit.tarball)
    content = bytearray(tarball.read_bytes())
    at = content.index(b"DICM") + 2000
    content[at] ^= 1
    tarball.write_bytes(content)
    proof = prove(job.store, job.visit, 3)
    assert not proof.good
    assert "datalad get" in proof.words
    assert proof.hint
    assert list(temporary.iterdir()) == []


def test_other_metadata_than_the_datasets_are_no_proof(job: Job) -> None:
    write_metadata(job.store, job.visit)
    proof = prove(job.store, job.visit, 0)
    assert not proof.good
    assert "not those of the metadata" in proof.words


def test_without_a_deposit_nothing_is_cloned(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        clone_proof, "folder_of_its_own", lambda _: pytest.fail("cloned all the same")
    )
    job = make_job("v1")
    proof = prove(job.store, job.visit, 1)
    assert (proof.good, proof.words) == (False, "there is no whole deposit")


def test_a_credential_goes_by_the_environment_beside_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATALAD_CONFIG_OVERRIDES_JSON", '{"a": "b"}')
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Me")
    found = clone_proof._environment({"datalad.credential.x.secret": "s3cret"})
    assert json.loads(found["DATALAD_CONFIG_OVERRIDES_JSON"]) == {
        "a": "b",
        "datalad.credential.x.secret": "s3cret",
    }
    assert "GIT_DIR" not in found
    assert (found["GIT_AUTHOR_NAME"], found["GIT_TERMINAL_PROMPT"]) == ("Me", "0")
    assert found["GIT_COMMITTER_EMAIL"]
    assert "s3cret" not in os.environ["DATALAD_CONFIG_OVERRIDES_JSON"]


def test_a_command_that_fails_is_told_by_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(clone_proof._NotProvenError) as caught:
        clone_proof._call("git look", ["git", "x" * 2000], tmp_path, dict(os.environ))
    assert str(caught.value).startswith("git look fails: ")
    assert len(str(caught.value)) < clone_proof.TAIL + 100
