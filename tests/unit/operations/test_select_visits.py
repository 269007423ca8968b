"""From what a person names to visits, and what a person is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from icfqueue.core.errors import BadId, UsageError
from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.select_visits import (
    check_recorded,
    select_recorded,
    select_visits,
)
from icfqueue.store.directory import Store

PROJECT = "study_1"


def visits(*names: str) -> list[Visit]:
    return [Visit(PROJECT, name) for name in names]


class Remote:
    """A store that lists these visits, and tarballs that give none."""

    left_out = ("x y_dicom.tar",)
    more_left_out = 0

    def visits(self, project: str) -> list[Visit]:
        return [Visit(project, name) for name in ("v2", "v9")]


@pytest.fixture
def folder(store: Store) -> Path:
    """Tarballs of two visits."""
    made = store.project_dir(PROJECT)
    made.mkdir()
    for name in ("v1", "v2"):
        (made / f"{name}_dicom.tar").touch()
    return made


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("named", "listed", "remote", "expected"),
    [
        ((), None, None, ("v1", "v2")),
        ((), None, Remote(), ("v1", "v2", "v9")),
        (("v7",), None, None, ("v7",)),
        (("v7", "v7"), None, None, ("v7",)),
        ((), ["v8", "v1"], None, ("v1", "v8")),
        ((), [], None, ()),
        (("v7",), ["v8"], Remote(), ("v2", "v7", "v8", "v9")),
    ],
)
def test_visits_come_from_arguments_a_file_the_store_or_else_the_directory(
    store: Store,
    named: tuple[str, ...],
    listed: list[str] | None,
    remote: Remote | None,
    expected: tuple[str, ...],
) -> None:
    found = select_visits(store, PROJECT, named, listed=listed, remote=remote)  # type: ignore[arg-type]
    assert found.visits == visits(*expected)


def test_tarballs_that_cannot_become_visits_are_told_with_the_reason(
    store: Store, folder: Path
) -> None:
    (folder / "a b_dicom.tar").touch()
    (folder / "v3_dicom.tar").symlink_to("nowhere")
    found = select_visits(store, PROJECT, (), remote=Remote())  # type: ignore[arg-type]
    told = dict(found.left_out)
    assert list(told) == ["a b_dicom.tar", "v3_dicom.tar", "x y_dicom.tar"]
    assert "ids have letters" in told["a b_dicom.tar"]
    assert "store_links" in told["v3_dicom.tar"]
    # Who names visits is not told of others.
    assert select_visits(store, PROJECT, ("v1",)).left_out == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("V1", "v1"),
        ("v01", "v1"),
        ("V0002", "v2"),
        ("v1", None),
        ("v3", None),
        ("v11", None),
        ("w1", None),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_visit_that_differs_in_case_and_zeros_from_one_that_is_here_may_be_mistyped(
    store: Store, name: str, near: str | None
) -> None:
    """It is looked for all the same; visits are numbered, so any other is like many."""
    found = select_visits(store, PROJECT, (name,))
    assert found.visits == visits(name)
    assert found.mistyped == ([(Visit(PROJECT, name), near)] if near else [])


def test_numbers_within_a_name_are_compared_one_by_one(store: Store, folder: Path) -> None:
    (folder / "sub-007_ses-010_dicom.tar").touch()
    for name, hit in (("sub-7_ses-10", True), ("sub-7_ses-1", False), ("sub-70", False)):
        assert bool(select_visits(store, PROJECT, (name,)).mistyped) is hit


@pytest.mark.parametrize(
    ("name", "near"), [("v11", ["v1"]), ("V1", None), ("v1", None), ("elsewhere", [])]
)
@pytest.mark.usefixtures("folder")
def test_a_visit_that_nobody_has_seen_is_told_with_what_is_called_so_here(
    store: Store, name: str, near: list[str] | None
) -> None:
    """One in a file may be to be downloaded; so may this, but it may be mistyped."""
    found = select_visits(store, PROJECT, (name,))
    assert found.unseen == ([] if near is None else [(Visit(PROJECT, name), near)])
    assert select_visits(store, PROJECT, (), listed=[name]).unseen == []


def test_what_may_not_become_a_path_is_refused(store: Store) -> None:
    for project, name in (("../x", "v"), (PROJECT, "../v"), (PROJECT, "")):
        with pytest.raises(BadId):
            select_visits(store, project, (name,))
    with pytest.raises(BadId):
        select_visits(store, PROJECT, (), listed=["a/b"])


def test_no_visit_at_all_is_told_with_a_guess(store: Store, folder: Path) -> None:
    select_visits(store, PROJECT, ()).check_found()
    with pytest.raises(UsageError, match="no visits of study1") as caught:
        select_visits(store, "study1", ()).check_found()
    assert "Did you mean study_1?" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        select_visits(store, "else", ()).check_found()
    assert "Did you mean" not in caught.value.hint
    assert folder.exists()


def test_a_project_without_visits_is_not_taken_for_mistyped(store: Store) -> None:
    """It is called like itself, which is no guess."""
    store.project_dir("study_7").mkdir()
    with pytest.raises(UsageError, match="no visits of study_7") as caught:
        select_visits(store, "study_7", ()).check_found()
    assert "Did you mean" not in caught.value.hint


@pytest.fixture
def recorded(ledger: RedisLedger) -> RedisLedger:
    """Two visits with a record, one of them cancelled."""
    for visit in visits("v1", "v2"):
        new = record.new(visit, Options("https://x"), 0, 1.0)
        ledger.put_many([(None, new)])
    ledger.update(Visit(PROJECT, "v2"), lambda r: record.cancelled(r, 2.0))
    return ledger


def test_visits_with_a_record_are_those_named_or_all_in_a_state(
    recorded: RedisLedger,
) -> None:
    assert select_recorded(recorded, PROJECT, (), [State.CANCELLED]) == visits("v2")
    assert select_recorded(recorded, PROJECT, (), [State.FAILED]) == []
    # Named ones whatever their state: the command says what it left alone.
    assert select_recorded(recorded, PROJECT, ("v2", "v1"), []) == visits("v2", "v1")


def test_a_visit_that_was_never_enqueued_is_wrong_usage(recorded: RedisLedger) -> None:
    with pytest.raises(UsageError, match="study_1/v3 was never enqueued") as caught:
        select_recorded(recorded, PROJECT, ("v1", "v3"), [])
    assert caught.value.hint == "see 'icfqueue status study_1'"
    for name, near in (("V02", "v2"), ("v11", "v1")):
        with pytest.raises(UsageError) as caught:
            select_recorded(recorded, PROJECT, (name,), [])
        hint = f"did you mean {near}? see 'icfqueue status study_1'"
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("project", "words"), [("study1", "did you mean study_1?"), ("else", "known: study_1")]
)
def test_an_unknown_project_is_named_with_the_known_ones(
    recorded: RedisLedger, project: str, words: str
) -> None:
    check_recorded(recorded, PROJECT)
    with pytest.raises(UsageError, match=f"nothing of project {project}") as caught:
        check_recorded(recorded, project)
    assert caught.value.hint == words


def test_where_nothing_was_ever_enqueued_none_is_known(ledger: RedisLedger) -> None:
    with pytest.raises(UsageError) as caught:
        check_recorded(ledger, PROJECT)
    assert caught.value.hint == "known: none"
    with pytest.raises(BadId):
        check_recorded(ledger, "../x")
