"""What ``run`` and ``enqueue`` share: which visits, what is planned, what is told."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.faulty_store import FaultyStore
from support.valkey import Valkey

from icfqueue.cli import planning
from icfqueue.cli.session import Session, session
from icfqueue.core.errors import UsageError
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.operations.enqueue import Deed, Enqueued, Plan
from icfqueue.store.directory import Store

PROJECT = "study_1"
NOTHING = {"visits_file": None, "remote": False}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    folder = tmp_path / "web" / PROJECT
    folder.mkdir(parents=True)
    for name in ("v9", "v7", "v8", "x y"):
        (folder / f"{name}_dicom.tar").touch()
    with FaultyStore(folder.parent, auth=False) as made:
        yield made


@pytest.fixture
def opened(store: Store, valkey: Valkey, web: FaultyStore) -> Iterator[Session]:
    """A session on a store with the tarballs of two visits."""
    store.project_dir(PROJECT).mkdir()
    for name in ("v1", "v2"):
        (store.project_dir(PROJECT) / f"{name}_dicom.tar").touch()
    where = {"store_dir": store.root, "broker": valkey.broker.url, "store_url": web.url}
    with session(where) as made:
        yield made


def names(opened: Session, *named: str, **wanted: Any) -> list[str]:
    found = planning.chosen_visits(opened, PROJECT, named, NOTHING | wanted)
    return [visit.id for visit in found.visits]


def test_options_are_those_of_the_command_line_and_the_settings() -> None:
    asked = dict.fromkeys(
        ("force", "no_catalog", "remove_tarball", "remove_metadata", "no_superdataset"),
        True,
    )
    asked["stream"] = None
    chosen = Settings(store_url="https://x", credential="icf")
    assert planning.options_of(chosen, asked) == Options(
        store_url="https://x",
        credential="icf",
        force=True,
        catalog=False,
        remove_tarball=True,
        remove_metadata=True,
        superdataset=False,
        stream=True,
    )
    none = dict.fromkeys(asked, False)
    unwanted = Settings(superdataset=False)
    assert not planning.options_of(unwanted, none).superdataset
    assert planning.options_of(Settings(store_url="https://x"), none) == Options(
        "https://x"
    )


@pytest.mark.parametrize(
    ("setting", "removed", "said", "streams"),
    [
        (False, False, None, False),
        (True, False, None, True),
        # What is to be removed need not be written.
        (False, True, None, True),
        (True, True, False, False),
        (False, False, True, True),
    ],
)
def test_a_tarball_is_streamed_if_that_is_said_set_or_it_is_to_be_removed(
    setting: bool, removed: bool, said: bool | None, streams: bool
) -> None:
    names = ("force", "no_catalog", "remove_metadata", "no_superdataset")
    wanted: dict[str, Any] = dict.fromkeys(names, False)
    wanted |= {"remove_tarball": removed, "stream": said}
    found = planning.options_of(Settings(stream=setting), wanted)
    assert found.stream is streams


def test_a_file_names_visits_one_a_line(opened: Session, tmp_path: Path) -> None:
    file = tmp_path / "visits"
    file.write_text("# of this week\nv7\n\n  v8  \n#v9\n")
    assert names(opened, visits_file=file) == ["v7", "v8"]
    assert names(opened, "v1", visits_file=file) == ["v1", "v7", "v8"]


def test_standard_input_names_them_too(
    opened: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"v7\n")))
    assert names(opened, visits_file=Path("-")) == ["v7"]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"\xff\xfe v", "no text in UTF-8")]
)
def test_a_file_that_cannot_be_used_is_wrong_usage(
    opened: Session, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "visits").write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        names(opened, visits_file=tmp_path / "visits")
    assert "--visits-file" in caught.value.hint


def test_the_stores_listing_is_added_and_what_was_left_out_is_said(
    opened: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names(opened, remote=True) == ["v1", "v2", "v7", "v8", "v9"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("left out: 'x y_dicom.tar' (ids have letters")


def test_near_misses_are_told_by_reason_with_an_example(
    opened: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = opened.store.project_dir(PROJECT)
    for name in ("a.tar", "b.tar", "c.tar", "d e.tar", "x_dicom.tar.gz"):
        (folder / name).touch()
    assert names(opened) == ["v1", "v2"]
    assert capsys.readouterr().err.splitlines() == [
        "not taken: a.tar, b.tar, c.tar and 1 more: tarballs are called <visit>_dicom.tar",
        *(f"  mv {folder}/{one}.tar {folder}/{one}_dicom.tar" for one in "abc"),
        "not taken: x_dicom.tar.gz: it is compressed",
        f"  gunzip {folder}/x_dicom.tar.gz",
    ]


def test_a_visit_that_is_named_is_here_recorded_or_in_the_store(opened: Session) -> None:
    """It would be tried for a day otherwise."""
    assert names(opened, "v9", "v1") == ["v1", "v9"]
    with pytest.raises(UsageError, match="v11, w7 are neither"):
        names(opened, "v11", "w7", "v1")
    opened.ledger.put_many(
        [(None, record.new(Visit(PROJECT, "v11"), Options("https://x"), 0, 1.0))]
    )
    assert names(opened, "v11") == ["v11"]


def test_no_visit_is_wrong_usage(opened: Session, tmp_path: Path) -> None:
    (tmp_path / "visits").touch()
    with pytest.raises(UsageError, match="no visits of study_1"):
        names(opened, visits_file=tmp_path / "visits")


def test_plans_are_told_with_the_reason_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    v, w = Visit(PROJECT, "v"), Visit(PROJECT, "w")
    planning.tell_plans(
        [
            Plan(v, Deed.ENQUEUE, "new"),
            Plan(w, Deed.UP_TO_DATE, "complete: every output is there"),
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "visit  to do    why",
        "v      process  new",
        "w      nothing  complete: every output is there",
        "2 visits: 1 to be processed, 1 up to date; nothing was changed",
    ]


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Enqueued(3, 0, 0), "3 enqueued"),
        (Enqueued(0, 2, 1), "0 enqueued, 2 under way already, 1 up to date"),
    ],
)
def test_what_was_enqueued_is_told(
    capsys: pytest.CaptureFixture[str], done: Enqueued, words: str
) -> None:
    planning.tell_enqueued(PROJECT, done)
    assert capsys.readouterr().out == f"study_1: {words}\n"


def test_what_was_left_alone_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    visits = [Visit("study_1", name) for name in "abc"]
    planning.tell_left_alone(visits, [visits[1]], "not failed")
    assert capsys.readouterr().out == "left alone (not failed): a, c\n"
    planning.tell_left_alone(visits, visits, "not failed")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("with_broker", [True, False])
def test_in_a_new_store_visits_are_looked_for_before_anything_is_made(
    store: Store, valkey: Valkey, web: FaultyStore, with_broker: bool
) -> None:
    broker = valkey.broker.url if with_broker else None
    where = {"store_dir": store.root, "broker": broker, "store_url": web.url}
    asked = NOTHING | where
    with pytest.raises(UsageError, match=f"no visits of {PROJECT}"):
        planning.visits_of_new_store(PROJECT, [], asked)
    with pytest.raises(UsageError, match="is neither in"):
        planning.visits_of_new_store(PROJECT, ["nobody"], asked)
    assert [*store.root.iterdir()] == []
    found = planning.visits_of_new_store(PROJECT, [], asked | {"remote": True})
    assert found is not None
    assert [visit.id for visit in found.visits] == ["v7", "v8", "v9"]
    with session(where):
        pass
    assert planning.visits_of_new_store(PROJECT, [], asked) is None


def test_where_the_broker_works_for_another_directory_that_is_to_be_said(
    store: Store, valkey: Valkey, tmp_path: Path
) -> None:
    """As a node does whose mount is missing: not that there are no visits."""
    where = {"store_dir": store.root, "broker": valkey.broker.url}
    with session(where):
        pass
    (tmp_path / "empty").mkdir()
    asked = NOTHING | where | {"store_dir": tmp_path / "empty"}
    assert planning.visits_of_new_store(PROJECT, [], asked) is None
