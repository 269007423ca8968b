"""A project that is named by a path, or from inside its folder: what was meant is said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from icfqueue.cli.group import cli
from icfqueue.core.errors import BadId, UsageError
from icfqueue.demo.visits import build_project


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store directory, and in it a project; one is in the first."""
    build_project(tmp_path / "my store", "study_1", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ICFQUEUE_STORE_DIR", raising=False)
    return tmp_path


def refused(*words: str) -> str:
    """Return the command that is said to have been meant; it must not be refused so."""
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    (line,) = re.findall("did you mean: `(.+)`", caught.value.hint)
    again = shlex.split(line)[1:]
    done = CliRunner().invoke(cli, [*again, "--dry-run"], standalone_mode=False)
    assert done.exception is None, done.exception
    return str(line)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["my store/study_1"], "run study_1 --store-dir 'my store'"),
        (["my store/study_1/", "v*"], "run study_1 'v*' --store-dir 'my store'"),
        (
            ["my store/study_1/visit_01_dicom.tar", "--jobs", "2"],
            "run study_1 visit_01 --jobs 2 --store-dir 'my store'",
        ),
        (["my store/stdy_1"], "run study_1 --store-dir 'my store'"),
        (
            ["my store/study_1", "--force", "--store-dir", "nowhere"],
            "run study_1 --force --store-dir 'my store'",
        ),
        (
            ["./my store/study_1", "--store-dir", "my store"],
            "run study_1 --store-dir 'my store'",
        ),
    ],
)
def test_a_path_is_refused_with_the_command_that_was_meant(
    here: Path, words: list[str], expected: str
) -> None:
    words = [word.replace("v*", "visit*") for word in words]
    assert refused("run", *words) == f"icfqueue {expected.replace('v*', 'visit*')}"
    assert not (here / ".icfqueue").exists()


def test_a_whole_path_gives_a_whole_path(here: Path) -> None:
    store = here / "my store"
    assert refused("run", str(store / "study_1")) == (
        f"icfqueue run study_1 --store-dir {shlex.quote(str(store))}"
    )


@pytest.mark.parametrize("project", [".", "study_1", "../study_1"])
def test_from_inside_the_project_the_store_directory_is_above(
    here: Path, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    folder = here / "my store" / "study_1"
    monkeypatch.chdir(folder)
    assert refused("run", project) == "icfqueue run study_1 --store-dir .."
    assert not (folder / ".icfqueue").exists()


def test_the_folder_of_the_project_is_not_taken_for_the_store_directory(
    here: Path,
) -> None:
    given = here / "my store" / "study_1"
    store = shlex.quote(str(here / "my store"))
    line = refused("run", "study_1", "--store-dir", str(given))
    assert line == f"icfqueue run study_1 --store-dir {store}"


@pytest.mark.parametrize("project", ["..", "/", "no/where", "my store/other_thing"])
@pytest.mark.usefixtures("here")
def test_what_is_no_way_to_a_project_is_no_id(project: str) -> None:
    with pytest.raises(BadId):
        CliRunner().invoke(
            cli, ["run", project], standalone_mode=False, catch_exceptions=False
        )
