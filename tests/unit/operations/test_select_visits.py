"""From what a person names to visits, and what a person is told of them."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Self

import pytest

from icfqueue.core.errors import (
    AccessDenied,
    BadId,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    StoreBusy,
    Unreachable,
    UsageError,
)
from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.select_visits import (
    Sources,
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

    url = "https://x"
    left_out = ("x y_dicom.tar",)
    more_left_out = 0
    sizes = MappingProxyType({"r1": 300})
    has = ("v2", "v9", "w9")
    error: StepError | None = None
    lists = True
    knows = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def visits(self, project: str) -> list[Visit]:
        if not self.knows:
            raise NotInStore(f"https://x/{project}/ answers 404")
        if not self.lists:
            raise PermanentError("no listing")
        return [Visit(project, name) for name in self.has]

    def head(self, storepath: str) -> None:
        if self.error:
            raise self.error
        if Visit.of_tarball(PROJECT, storepath.removeprefix(f"{PROJECT}/")) not in (
            visits(*self.has)
        ):
            raise NotInStore(storepath)


@pytest.fixture
def web() -> Remote:
    return Remote()


@pytest.fixture
def sources(store: Store, ledger: RedisLedger, web: Remote) -> Sources:
    return Sources(store, ledger, lambda: web)  # type: ignore[arg-type,return-value]  # what is used of it


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
        ((), None, False, ("v1", "v2")),
        ((), None, True, ("v1", "v2", "v9", "w9")),
        (("v9",), None, False, ("v9",)),
        (("v9", "v9"), None, False, ("v9",)),
        ((), ["w9", "v1"], False, ("v1", "w9")),
        ((), [], False, ()),
        (("v1",), ["w9"], True, ("v1", "v2", "v9", "w9")),
        (("v*",), None, False, ("v1", "v2")),
        (("v*",), None, True, ("v1", "v2", "v9")),
        (("w9",), ["*2"], True, ("v2", "w9")),
    ],
)
def test_visits_come_from_arguments_a_file_the_store_or_else_the_directory(
    sources: Sources,
    named: tuple[str, ...],
    listed: list[str] | None,
    remote: bool,
    expected: tuple[str, ...],
) -> None:
    found = select_visits(sources, PROJECT, named, listed=listed, remote=remote)
    assert found.visits == visits(*expected)


@pytest.mark.usefixtures("folder")
def test_what_is_recorded_is_taken_up_and_found_by_globs(
    sources: Sources, recorded: RedisLedger
) -> None:
    """A download may have been stopped, or the tarball removed when all was done."""
    assert recorded.visits(PROJECT) == visits("r1", "r2")
    assert select_visits(sources, PROJECT, ()).visits == visits("r1", "r2", "v1", "v2")
    assert select_visits(sources, PROJECT, ("r*",)).visits == visits("r1", "r2")
    assert select_visits(sources, PROJECT, ("r2",)).visits == visits("r2")


def test_tarballs_that_cannot_become_visits_are_told_with_the_reason(
    sources: Sources, folder: Path
) -> None:
    (folder / "a b_dicom.tar").touch()
    (folder / "v3_dicom.tar").symlink_to("nowhere")
    found = select_visits(sources, PROJECT, (), remote=True)
    told = dict(found.left_out)
    assert list(told) == ["a b_dicom.tar", "v3_dicom.tar", "x y_dicom.tar"]
    assert "ids have letters" in told["a b_dicom.tar"]
    assert "store_links" in told["v3_dicom.tar"]
    assert found.sizes == {Visit(PROJECT, "r1"): 300}
    # Who names visits is not told of others.
    assert select_visits(sources, PROJECT, ("v1",)).left_out == []


def test_near_misses_are_told_to_who_wants_all(sources: Sources, folder: Path) -> None:
    (folder / "v5.tar").touch()
    (found,) = select_visits(sources, PROJECT, ()).near_misses
    assert found.name == "v5.tar"
    assert select_visits(sources, PROJECT, ("v1",)).near_misses == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("V1", "did you mean v1?"),
        ("v0002", "did you mean v2?"),
        ("v11", "did you mean v1?"),
        ("elsewhere", "see 'icfqueue status study_1'; globs, as 'sub-01*', name many"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_visit_that_is_nowhere_is_refused_with_a_guess(
    sources: Sources, name: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=f"{name} is neither in .*study_1 nor at") as found:
        select_visits(sources, PROJECT, (name,))
    assert found.value.hint == hint
    assert "https://x/study_1/" in found.value.message
    with pytest.raises(UsageError, match="neither"):
        select_visits(sources, PROJECT, (), listed=["v1", name])


def test_a_visit_whose_tarball_is_called_otherwise_is_told_so(
    sources: Sources, folder: Path
) -> None:
    (folder / "v7.tar").touch()
    with pytest.raises(UsageError) as found:
        select_visits(sources, PROJECT, ("v7",))
    assert found.value.hint.endswith(f"mv {folder}/v7.tar {folder}/v7_dicom.tar")


def test_many_visits_are_looked_for_in_the_listing(sources: Sources, web: Remote) -> None:
    many = [f"u{number:02}" for number in range(20)]
    with pytest.raises(UsageError, match="u00, u01, u02 and 17 more are neither"):
        select_visits(sources, PROJECT, ("v9", *many))
    web.lists = False
    assert len(select_visits(sources, PROJECT, many).visits) == 20


@pytest.mark.parametrize(
    "error", [NetworkTrouble("no answer", hint="h"), StoreBusy("busy", hint="h")]
)
def test_a_visit_that_is_not_here_is_refused_if_the_store_cannot_be_asked(
    sources: Sources, web: Remote, error: StepError
) -> None:
    web.error = error
    with pytest.raises(Unreachable, match="v5: not here, and ") as found:
        select_visits(sources, PROJECT, ("v5",))
    assert found.value.hint.startswith("h; check project and visit")
    web.error = PermanentError("it tells no size")
    assert select_visits(sources, PROJECT, ("v5",)).visits == visits("v5")


@pytest.mark.parametrize("forbidden", [True, False])
def test_what_the_store_refuses_to_tell_is_the_workers_affair(
    sources: Sources, web: Remote, forbidden: bool
) -> None:
    """It may be there; one file that is forbidden concerns no other visit."""
    web.error = AccessDenied("no access", forbidden=forbidden)
    assert select_visits(sources, PROJECT, ("v5", "v6")).visits == visits("v5", "v6")


@pytest.mark.parametrize("output", ["_metadata_tarball.json", "_XDLRA--refs"])
def test_a_visit_of_which_anything_is_here_needs_no_store(
    sources: Sources, folder: Path, web: Remote, output: str
) -> None:
    (folder / f"v5{output}").touch()
    web.error = NetworkTrouble("no answer")
    assert select_visits(sources, PROJECT, ("v5", "v1")).visits == visits("v1", "v5")


def test_what_may_not_become_a_path_is_refused(sources: Sources) -> None:
    for project, name in (("../x", "v"), (PROJECT, "../v"), (PROJECT, "")):
        with pytest.raises(BadId):
            select_visits(sources, project, (name,))
    with pytest.raises(BadId):
        select_visits(sources, PROJECT, (), listed=["a/b"])


def test_no_visit_at_all_is_told_with_a_guess(sources: Sources, folder: Path) -> None:
    select_visits(sources, PROJECT, ()).check_found()
    with pytest.raises(UsageError, match="no visits of study1") as caught:
        select_visits(sources, "study1", ()).check_found()
    assert "Did you mean study_1?" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        select_visits(sources, "else", ()).check_found()
    assert "Did you mean" not in caught.value.hint
    assert folder.exists()


def test_a_project_without_visits_is_not_taken_for_mistyped(
    store: Store, sources: Sources
) -> None:
    """It is called like itself, which is no guess."""
    store.project_dir("study_7").mkdir()
    with pytest.raises(UsageError, match="no visits of study_7") as caught:
        select_visits(sources, "study_7", ()).check_found()
    assert "Did you mean" not in caught.value.hint


@pytest.fixture
def recorded(ledger: RedisLedger) -> RedisLedger:
    """Two visits with a record, one of them cancelled."""
    for visit in visits("r1", "r2"):
        new = record.new(visit, Options("https://x"), 0, 1.0)
        ledger.put_many([(None, new)])
    ledger.update(Visit(PROJECT, "r2"), lambda r: record.cancelled(r, 2.0))
    return ledger


def test_visits_with_a_record_are_those_named_or_all_in_a_state(
    recorded: RedisLedger,
) -> None:
    assert select_recorded(recorded, PROJECT, (), [State.CANCELLED]) == visits("r2")
    assert select_recorded(recorded, PROJECT, (), [State.FAILED]) == []
    # Named ones whatever their state: the command says what it left alone.
    assert select_recorded(recorded, PROJECT, ("r2", "r1"), []) == visits("r2", "r1")


def test_a_visit_that_was_never_enqueued_is_wrong_usage(recorded: RedisLedger) -> None:
    with pytest.raises(UsageError, match="study_1/r3 was never enqueued") as caught:
        select_recorded(recorded, PROJECT, ("r1", "r3"), [])
    assert caught.value.hint == "see 'icfqueue status study_1'"
    for name, near in (("R02", "r2"), ("r11", "r1")):
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


@pytest.mark.usefixtures("folder")
def test_a_project_that_the_store_does_not_have_is_told_as_such(
    sources: Sources, web: Remote
) -> None:
    """No visit was mistyped, and none was enqueued that could be forgotten."""
    web.knows = False
    with pytest.raises(NotInStore, match="the store has no project sutdy_1: ") as caught:
        select_visits(sources, "sutdy_1", (), remote=True)
    assert caught.value.hint.startswith("did you mean study_1? ")
    with pytest.raises(NotInStore) as caught:
        select_visits(sources, "other", [f"w{n}" for n in range(11)])
    assert caught.value.hint == "check the project's name, and --store-url"


def test_a_folder_in_a_tarballs_place_is_called_so(sources: Sources, folder: Path) -> None:
    (folder / "dir_dicom.tar").mkdir()
    (folder / "gone_dicom.tar").symlink_to("nowhere")
    told = dict(select_visits(sources, PROJECT, ()).left_out)
    assert told["dir_dicom.tar"] == "it is a folder"
    assert told["gone_dicom.tar"].startswith("it is no file")
