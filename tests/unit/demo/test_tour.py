"""The demonstration's own decisions: which folder it may replace, what it hands on.

The whole way is shown in ``tests/acceptance/test_demo.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from icfqueue.core.errors import IcfqueueError, UsageError
from icfqueue.demo import tour
from icfqueue.demo.server import DemoStore


@dataclass
class Stage:
    """Remembers what was shown."""

    shown: list[str] = field(default_factory=list)

    def headline(self, words: str) -> None:
        self.shown.append(words)

    def command(self, words: str) -> None:
        self.shown.append(f"$ {words}")

    def line(self, words: str, *, good: bool = False) -> None:
        self.shown.append(words + ("!" if good else ""))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[DemoStore]:
    (tmp_path / "web" / tour.PROJECT).mkdir(parents=True)
    with DemoStore(tmp_path / "web", password="hunter2") as made:
        yield made


def test_a_folder_that_it_made_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    tour._make_room(folder)
    (folder / "store" / "clone").mkdir(parents=True)
    (folder / "store" / "clone").chmod(0o555)
    tour._make_room(folder)
    assert [path.name for path in folder.iterdir()] == [tour.MARK]


def test_an_empty_folder_is_taken_and_any_other_left_alone(tmp_path: Path) -> None:
    tour._make_room(tmp_path)
    (tmp_path / tour.MARK).unlink()
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="was not made by the demonstration") as caught:
        tour._make_room(tmp_path)
    assert "--folder" in caught.value.hint
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_credential_goes_by_the_environment_and_no_other_settings_with_it(
    web: DemoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICFQUEUE_BROKER_URL", "redis://elsewhere")
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Me")
    with tour._surroundings(web) as environment:
        found = json.loads(environment["DATALAD_CONFIG_OVERRIDES_JSON"])
    prefix = f"datalad.credential.{tour.CREDENTIAL}"
    assert found[f"{prefix}.secret"] == "hunter2"
    assert found[f"{prefix}.realm"] == f"{web.url}/{web.realm}"
    assert "ICFQUEUE_BROKER_URL" not in environment
    assert "GIT_DIR" not in environment
    assert environment["GIT_AUTHOR_NAME"] == "Me"
    assert environment["GIT_COMMITTER_EMAIL"]
    assert "DATALAD_CONFIG_OVERRIDES_JSON" not in os.environ


def test_outputs_are_laid_beside_the_tarballs_and_nothing_hidden_is(
    tmp_path: Path,
) -> None:
    store, web = tmp_path / "store", tmp_path / "web"
    (web / tour.PROJECT).mkdir(parents=True)
    (web / tour.PROJECT / "v_dicom.tar").write_text("served")
    folder = store / tour.PROJECT
    (folder / "catalog" / "metadata").mkdir(parents=True)
    (folder / ".icfqueue").mkdir()
    for name in ("v_dicom.tar", "v_XDLRA--refs", "catalog/metadata/super.json"):
        (folder / name).write_text("made")
    tour._publish(store, web)
    tour._publish(store, web)
    served = web / tour.PROJECT
    assert sorted(str(p.relative_to(served)) for p in served.rglob("*") if p.is_file()) == [
        "catalog/metadata/super.json",
        "v_XDLRA--refs",
        "v_dicom.tar",
    ]
    assert (served / "v_dicom.tar").read_text() == "served"


def test_a_run_that_fails_ends_the_tour_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def fail(arguments: list[str], *_: object) -> int:
        asked.append(arguments)
        return 3

    monkeypatch.setattr(tour, "_icfqueue", fail)
    stage = Stage()
    assert tour.tour(tmp_path / "demo", 1, 2, stage) == 3
    assert [words[0] for words in asked] == ["run", "status"]
    assert asked[0][1:5] == [tour.PROJECT, "--remote", "--jobs", "2"]
    assert not any(words.startswith("4.") for words in stage.shown)
    assert "hunter2" not in str(asked)


def test_a_command_of_datalad_that_fails_is_told_by_its_last_words(tmp_path: Path) -> None:
    stage = Stage()
    with pytest.raises(IcfqueueError, match=r"datalad get failed: .*nothing-here"):
        tour._datalad(["get", "nothing-here"], tmp_path, dict(os.environ), stage)
    assert stage.shown == ["$ datalad get nothing-here"]


def test_the_last_words_are_commands_that_can_be_pasted(tmp_path: Path) -> None:
    stage = Stage()
    tour._farewell(tmp_path / "a b", 7.4, stage)
    said = "\n".join(stage.shown)
    assert "Done in 7 s" in said
    assert f"--store-dir '{tmp_path}/a b/store'" in said
    assert " serve --store-dir " in said
