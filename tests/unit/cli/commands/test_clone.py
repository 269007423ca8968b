"""``icfqueue clone``: which word is what, and what is said at the end."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from support.command_line import Commands

from icfqueue.client import cloned, clones, local_datasets
from icfqueue.client.clones import Wanted
from icfqueue.core.visit import Visit
from icfqueue.outputs.deposit import clone_url
from icfqueue.remote.client import RemoteStore


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked for; nothing is cloned."""
    found: list[object] = []

    def dataset(
        remote: RemoteStore, project: str, visit: str | None, credential: str | None
    ) -> Wanted:
        found.append((remote.url, project, visit, *filter(None, [credential])))
        return Wanted("url", visit or project)

    def url(wanted: str, credential: str | None) -> Wanted:
        found.append((wanted, credential))
        return Wanted(wanted.rpartition("/")[2], "named")

    def clone(wanted: Wanted, target: Path, *, quiet: bool) -> bool:
        found.append(f"{target}, quietly" if quiet else str(target))
        return wanted.url != "plain"

    def path(wanted: Path, visit: str | None = None) -> Wanted:
        found.append((wanted, visit) if visit else wanted)
        return Wanted("url", visit or wanted.name)

    monkeypatch.setattr(cloned, "images_from", lambda _: "https://images")
    monkeypatch.setattr(local_datasets, "is_project", lambda path: path.name != "v")
    monkeypatch.setattr(local_datasets, "wanted_path", path)
    monkeypatch.setattr(clones, "wanted_dataset", dataset)
    monkeypatch.setattr(clones, "wanted_url", url)
    monkeypatch.setattr(clones, "clone", clone)
    return found


STORE = "http://127.0.0.1:9"
OTHER = "http://127.0.0.1:99"
WHOLE = clone_url(OTHER, "study_1")
ONE = clone_url(OTHER, Visit("study_1", "v"))
HERE = clone_url("file:///data/my%20store", "study_1")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["study_1"], [(STORE, "study_1", None), "study_1"]),
        (["study_1", "v"], [(STORE, "study_1", "v"), "v"]),
        (["study_1", "v", "--credential", "c"], [(STORE, "study_1", "v", "c"), "v"]),
        (["study_1", "v", "here"], [(STORE, "study_1", "v"), "here"]),
        (["study_1", "./here"], [(STORE, "study_1", None), "here"]),
        (["study_1", "."], [(STORE, "study_1", None), "."]),
        (["a-b::c", "--credential", "icf"], [("a-b::c", "icf"), "named"]),
        (["/data/study_1"], [Path("/data/study_1"), "study_1"]),
        (["store/study_1", "./here"], [Path("store/study_1"), "here"]),
        (["/data/study_1", "v"], [(Path("/data/study_1"), "v"), "v"]),
        (["/data/study_1", "v", "here"], [(Path("/data/study_1"), "v"), "here"]),
        (["/data/study_1/v", "here"], [Path("/data/study_1/v"), "here"]),
        ([WHOLE], [(WHOLE, None), "named"]),
        ([WHOLE, "./here"], [(WHOLE, None), "here"]),
        ([WHOLE, "v"], [(OTHER, "study_1", "v"), "v"]),
        ([WHOLE, "v", "here"], [(OTHER, "study_1", "v"), "here"]),
        ([ONE, "here"], [(ONE, None), "here"]),
        ([HERE, "v"], [(Path("/data/my store/study_1"), "v"), "v"]),
        (["https://x/y", "here"], [("https://x/y", None), "here"]),
    ],
)
def test_words_are_project_visit_and_folder(
    icfqueue: Commands, asked: list[object], words: list[str], wanted: list[object]
) -> None:
    done = icfqueue.plain("clone", *words, "--store-url", STORE)
    assert asked == wanted
    assert done.code == 0
    assert done.out == (
        f"cloned into {wanted[-1]}; an image comes by 'datalad get PATH' there, from "
        "https://images\n"
    )


@pytest.mark.parametrize("words", [["-q", "clone"], ["clone", "-q"]])
def test_quiet_is_for_datalad_too(
    icfqueue: Commands, asked: list[object], words: list[str]
) -> None:
    done = icfqueue.plain(*words, "/data/study_1")
    assert asked[-1] == "study_1, quietly"
    assert (done.out, done.err) == ("", "")


@pytest.mark.usefixtures("asked")
def test_of_a_dataset_without_tarballs_nothing_is_promised(icfqueue: Commands) -> None:
    done = icfqueue.plain("clone", "https://x/plain")
    assert done.out == "cloned into named; it has no images in tarballs\n"


@pytest.mark.parametrize(
    "words", [["p", "v", "x", "y"], ["p", "./x", "y"], ["/data/p/v", "x", "y"], []]
)
def test_a_word_too_many_or_none_is_wrong_usage(
    icfqueue: Commands, asked: list[object], words: list[str]
) -> None:
    with pytest.raises(click.UsageError):
        icfqueue.plain("clone", *words)
    assert asked == []
