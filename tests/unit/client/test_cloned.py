"""Where the images of a clone come from is read in it; nobody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import git

from icfqueue.client.cloned import images_from, run_git
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs.deposit import clone_url


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")
    made = tmp_path / "clone"
    made.mkdir()
    git(made, "init", "-q")
    return made


def test_a_visit_names_the_folder_of_its_tarball(clone: Path) -> None:
    folder = clone / "aaa" / "bbb"
    folder.mkdir(parents=True)
    (folder / "a.log.web").write_text("1s 1 :dl+archive:MD5E-s1--a.tar#path=x.dcm\n")
    (folder / "b.log.web").write_text("1s 1 :https://x.org/store/p/v_dicom.tar\n")
    (folder / "b.log").write_text("https://y.org/elsewhere/z\n")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "x")
    git(clone, "branch", "git-annex")
    assert images_from(clone) == "https://x.org/store/p"


def test_a_project_names_the_folder_of_its_visits(clone: Path) -> None:
    url = clone_url("https://x.org/store", Visit("p", "v"))
    git(clone, "config", "--file", ".gitmodules", "submodule.v.url", url)
    assert images_from(clone) == "https://x.org/store/p"


def test_a_clone_that_names_nothing_on_the_web_says_so(clone: Path) -> None:
    assert images_from(clone) == ""
    git(clone, "config", "--file", ".gitmodules", "submodule.v.url", "../v")
    assert images_from(clone) == ""


def test_a_git_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git config fails in"):
        run_git(tmp_path / "missing", "config", "--list")
