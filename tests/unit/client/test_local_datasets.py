"""What is in a store directory here is cloned from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from icfqueue.client.clones import Wanted
from icfqueue.client.local_datasets import is_project, wanted_path
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs.deposit import HEAD, clone_url, refs_text

REFS = refs_text({HEAD: "a" * 40, "refs/heads/git-annex": "b" * 40})


def test_a_dataset_in_a_store_directory_here_is_wanted_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's folder, or a visit's name in it; the web is not asked."""
    folder = tmp_path / "my store" / "p"
    folder.mkdir(parents=True)
    for name in ("XDLRA--refs", "visit_1_XDLRA--refs"):
        (folder / name).write_bytes(REFS)
    where = f"file://{tmp_path}/my%20store"
    assert wanted_path(folder) == Wanted(clone_url(where, "p"), "p")
    visit = Visit("p", "visit_1")
    assert wanted_path(folder / "visit_1") == Wanted(clone_url(where, visit), "visit_1")
    monkeypatch.chdir(folder)
    assert wanted_path(Path("../p")).url == clone_url(where, "p")
    assert wanted_path(Path("./visit_1")).url == clone_url(where, visit)
    assert wanted_path(Path("../p"), "visit_1").url == clone_url(where, visit)
    for path in (folder / "visit_2", tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(UsageError, match="there is no dataset at"):
            wanted_path(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a visit and a tarball without a dataset."""
    folder = tmp_path / "store" / "study_1"
    folder.mkdir(parents=True)
    (folder / "good_XDLRA--refs").write_bytes(REFS)
    (folder / "later_dicom.tar").touch()
    return folder


@pytest.mark.parametrize(
    ("path", "visit", "hint"),
    [
        ("study_1/godo", None, "did you mean good?"),
        ("study_1", "godo", "did you mean good?"),
        ("study_1/later", None, "its tarball is there, but its dataset was not made yet"),
        ("study_1/xyz", None, "the store lists 2 visits of study_1, none called so"),
        ("study_1", "xyz", "none called so; if xyz is to be the folder, write ./xyz"),
        ("study1", None, "did you mean study_1?"),
        (".", "study_1", "name a project's folder"),
        ("study_1", None, "name a project's folder"),
        ("nowhere/x", None, "name a project's folder"),
    ],
)
def test_a_name_without_a_dataset_is_said_with_the_store_and_what_was_meant(
    project: Path, path: str, visit: str | None, hint: str
) -> None:
    where = project.parent / path
    with pytest.raises(UsageError) as refused:
        wanted_path(where, visit)
    whole = where / visit if visit else where
    assert refused.value.message == f"there is no dataset at {whole}"
    assert hint in refused.value.hint
    if visit is None:
        assert "./" not in refused.value.hint


def test_a_visits_path_is_no_projects(project: Path) -> None:
    assert is_project(project)
    assert not is_project(project / "good")
