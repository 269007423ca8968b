"""What a proof of a deposit asks of DataLad, and what of the answers counts.

Real clones are proven in ``tests/acceptance/test_project.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.metadata import write_metadata
from support.outputs import record

from icfqueue.core.visit import Visit
from icfqueue.operations import clone_proof
from icfqueue.operations.clone_proof import LOOK, REDO, prove
from icfqueue.outputs.deposit import clone_url
from icfqueue.steps.job import Job

CONTENT = b"image"
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Datalad:
    """Stands in for DataLad and git-annex: a clone that promises some images.

    Attributes
    ----------
    promised
        Path to MD5 as the dataset has it.
    got
        What a ``get`` brings.
    fails
        A word of the command that fails.
    served
        The files that were there to be cloned.
    """

    promised: dict[str, str] = field(default_factory=dict)
    got: bytes = CONTENT
    fails: str = ""
    asked: list[list[str]] = field(default_factory=list)
    served: dict[str, bytes] = field(default_factory=dict)

    def __call__(
        self,
        what: str,
        command: list[str],
        folder: Path,
        _: dict[str, str],
        hint: str = REDO,
    ) -> str:
        self.asked.append(command)
        if self.fails and self.fails in command:
            raise clone_proof._NotProvenError(f"{what} fails: last words", hint)
        if command[1] == "clone":
            Path(command[3]).mkdir()
            served = (folder / "served/study_1").iterdir()
            self.served = {path.name: path.read_bytes() for path in served}
        if command[1] == "get":
            target = folder / command[3]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.got)
        lines = [
            {"file": path, "key": f"MD5E-s5--{md5}.dcm"}
            for path, md5 in self.promised.items()
        ]
        lines.append({"file": "icf/v1_dicom.tar", "key": f"MD5E-s9--{'f' * 32}.tar"})
        return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def datalad(monkeypatch: pytest.MonkeyPatch) -> Datalad:
    made = Datalad({f"a/{number}": MD5 for number in range(3)})
    monkeypatch.setattr(clone_proof, "_call", made)
    return made


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """A visit with a whole deposit and metadata of three images."""
    made = make_job("v1")
    record(made, b"tarball")
    write_metadata(made.store, made.visit, dicoms=3)
    return made


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize(("sample", "count"), [(0, 0), (2, 2), (99, 3)])
def test_the_deposit_is_cloned_checked_and_some_images_got(
    job: Job, datalad: Datalad, temporary: Path, sample: int, count: int
) -> None:
    """The tarball is no image; no more can be got than there are."""
    proof = prove(job.store, job.visit, sample)
    assert proof.good
    assert proof.words == f"3 DICOMs promised, {count} got back with the right MD5"
    words = [" ".join(command[:3]) for command in datalad.asked]
    assert words[1:3] == ["git annex fsck", "git annex find"]
    assert words[3:] == ["datalad get --"] * count
    # As it lies here, what users see once it is served; DataLad is led to no link.
    url = clone_url((Path(datalad.asked[0][3]).parent / "served").as_uri(), job.visit)
    assert datalad.asked[0][2] == url
    folder = job.store.project_dir(job.visit.project)
    names = (job.visit.refs, job.visit.repo_export)
    assert datalad.served == {name: (folder / name).read_bytes() for name in names}
    assert list(temporary.iterdir()) == []


def test_an_image_with_another_md5_is_no_proof(
    job: Job, datalad: Datalad, temporary: Path
) -> None:
    datalad.got = b"other"
    proof = prove(job.store, job.visit, 1)
    assert (proof.good, proof.hint) == (False, REDO)
    assert proof.words.endswith(f"promised is {MD5}")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("fails", "hint"), [("clone", LOOK), ("fsck", REDO), ("find", REDO), ("get", LOOK)]
)
def test_a_command_that_fails_is_no_proof_and_its_remedy_fits(
    job: Job, datalad: Datalad, temporary: Path, fails: str, hint: str
) -> None:
    """What needs the store may want a credential; the rest is the deposit's fault."""
    datalad.fails = fails
    proof = prove(job.store, job.visit, 1)
    assert (proof.good, proof.hint) == (False, hint)
    assert "last words" in proof.words
    assert list(temporary.iterdir()) == []


def test_other_files_than_those_of_the_metadata_are_no_proof(
    job: Job, datalad: Datalad
) -> None:
    del datalad.promised["a/0"]
    assert prove(job.store, job.visit, 0).words == (
        "the dataset's files are not those of the metadata"
    )
    # Where the metadata were removed, the dataset's own word is taken.
    for name in (job.visit.metadata_tarball, job.visit.metadata_dicoms):
        job.store.path(job.visit, name).unlink()
    assert prove(job.store, job.visit, 0).good


def test_without_a_deposit_nothing_is_cloned(
    job: Job, datalad: Datalad, temporary: Path
) -> None:
    proof = prove(job.store, Visit("study_1", "none"), 1)
    assert (proof.good, proof.words) == (False, "there is no whole deposit")
    assert datalad.asked == []
    assert list(temporary.iterdir()) == []


def test_a_credential_goes_by_the_environment_beside_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATALAD_CONFIG_OVERRIDES_JSON", '{"a": "b"}')
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Me")
    found = clone_proof._environment_to_get({"datalad.credential.x.secret": "s3cret"})
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
