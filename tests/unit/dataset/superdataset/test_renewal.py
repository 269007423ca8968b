"""The superdataset in the store: what it lists, when it is written, what survives."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.guards import CountingGuard, LosingGuard, MeddlingGuard
from support.superdatasets import (
    NEWEST,
    URL,
    Look,
    commit_of,
    git,
    look,
    put_deposit,
    put_deposits,
    remove_deposit,
)

from icfqueue.catalog import pages
from icfqueue.core.errors import LeaseLost, ToolFailed, TransientError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.dataset.superdataset import entries, renewal
from icfqueue.dataset.superdataset.renewal import Made, Renewal
from icfqueue.outputs import deposit, ids
from icfqueue.outputs.deposit import EXPORT, HEAD, REFS
from icfqueue.store.directory import Store

PROJECT = "study_1"


@dataclass
class Project:
    store: Store

    def put(self, *names: str, version: int = 0, newest: int = NEWEST) -> list[Visit]:
        return [
            put_deposit(self.store, Visit(PROJECT, name), version=version, newest=newest)
            for name in names
        ]

    def renew(
        self,
        visits: Collection[Visit] | None = None,
        *,
        url: str = URL,
        guard: Guard = UNGUARDED,
    ) -> Renewal:
        return renewal.renew(self.store, PROJECT, visits, url, guard)

    @property
    def folder(self) -> Path:
        return self.store.project_dir(PROJECT)

    def look(self) -> Look:
        return look(self.folder)

    def files(self) -> list[bytes]:
        return [(self.folder / name).read_bytes() for name in (REFS, EXPORT)]


@pytest.fixture
def the(store: Store) -> Project:
    store.project_dir(PROJECT).mkdir()
    return Project(store)


def test_every_deposited_visit_is_a_link_to_its_commit(the: Project) -> None:
    visits = the.put("v1", "v2")
    found = the.renew(visits)
    assert (found.changed, found.listed) == (frozenset(visits), 2)
    made = the.look()
    assert made.links == {visit.id: commit_of(visit) for visit in visits}
    assert made.refs == made.commit
    assert len(made.log) == 1
    assert f"# {PROJECT}" in made.files["README.md"]
    assert str(ids.superdataset_id(URL, PROJECT)) in made.files[".datalad/config"]
    assert not (the.folder / ".icfqueue").exists()


def test_dataset_and_study_page_are_known_by_one_id() -> None:
    assert str(ids.superdataset_id(URL, PROJECT)) == pages.study_id(URL, PROJECT)


def test_a_project_without_deposits_has_none(the: Project) -> None:
    assert the.renew([Visit(PROJECT, "v1")]) == Renewal(
        frozenset(), 0, {Visit(PROJECT, "v1"): None}
    )
    assert the.renew() == Renewal(frozenset(), 0, {})
    assert not renewal.exists(the.store, PROJECT)


def test_again_nothing_is_written(the: Project) -> None:
    visits = the.put("v1", "v2")
    the.renew(visits)
    before = the.files()
    guard = CountingGuard()
    assert the.renew(visits, guard=guard).changed == frozenset()
    assert the.renew(guard=guard).changed == frozenset()
    assert the.files() == before
    assert guard.asked == []


def test_each_change_is_a_commit_on_top_of_the_last(the: Project) -> None:
    one, two = the.put("v1", "v2")
    the.renew([one])
    first = the.look()
    the.put("v1", version=1)
    assert the.renew([one]).changed == {one}
    second = the.look()
    assert second.log == [second.commit, first.commit]
    assert second.links == {"v1": commit_of(one, 1), "v2": commit_of(two)}
    remove_deposit(the.store, two)
    assert the.renew([one]).changed == {two}
    third = the.look()
    assert third.log[1:] == second.log
    assert third.links == {"v1": commit_of(one, 1)}
    remove_deposit(the.store, one)
    the.renew([one])
    assert the.look().links == {}
    assert len(the.look().log) == 4


def test_visits_that_nobody_named_are_taken_as_well(the: Project) -> None:
    """The tree depends on what is deposited, not on who asked."""
    one, two = the.put("v1", "v2")
    assert the.renew([one]).changed == {one, two}


def test_those_that_are_listed_are_not_read_again_unless_named(
    the: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = the.put(*(f"v{number}" for number in range(20)))
    the.renew(visits)
    read: list[str] = []
    real = entries.read

    def counted(store: Store, visit: Visit) -> entries.Deposited | None:
        read.append(visit.id)
        return real(store, visit)

    monkeypatch.setattr(entries, "read", counted)
    the.put("v3", version=1)
    the.put("new")
    the.renew([visits[3]])
    assert sorted(read) == ["new", "v3"]
    read.clear()
    the.renew()
    assert len(read) == 21


def test_any_way_to_the_same_deposits_gives_the_same_tree(
    the: Project, tmp_path: Path
) -> None:
    rng = random.Random(7)
    names = [f"v{number}" for number in range(12)]
    there: dict[str, int] = {}
    for step in range(25):
        name = rng.choice(names)
        visit = Visit(PROJECT, name)
        if name in there and rng.random() < 0.3:
            remove_deposit(the.store, visit)
            del there[name]
        else:
            there[name] = step
            the.put(name, version=step)
        the.renew([visit])
    other = Store(tmp_path)
    for name, version in there.items():
        put_deposit(other, Visit(PROJECT, name), version=version)
    renewal.renew(other, PROJECT, None, URL)
    assert look(other.project_dir(PROJECT)).tree == the.look().tree
    assert len(the.look().log) == 25


def test_the_same_steps_give_the_same_bytes(the: Project, tmp_path: Path) -> None:
    """Neither clock, nor host, nor folder are in it."""
    other = Project(Store(tmp_path))
    for project in (the, other):
        for version in range(3):
            project.renew(project.put("v1", "v2", version=version))
    assert the.files() == other.files()


def test_a_commit_is_as_old_as_the_newest_visit_in_it(the: Project) -> None:
    dates = []
    for name, newest in (("v1", 500), ("v2", 900), ("v3", 600)):
        the.renew(the.put(name, newest=newest))
        dates.append(_date(the))
    assert dates == [500, 900, 900]


def _date(the: Project) -> int:
    found = renewal._Superdataset(the.store, PROJECT, URL, UNGUARDED)
    with the.store.catalog_scratch(PROJECT) as scratch:
        repo = renewal.repository.make_bare(scratch / "repo")
        last, _ = found.last(repo)
    assert last is not None
    return last.when


def test_with_another_address_every_visit_has_it(the: Project) -> None:
    visits = the.put("v1", "v2")
    the.renew(visits)
    other = "https://other.example.org"
    assert the.renew(visits[:1], url=f"{other}/").changed == set(visits)
    found = the.look()
    assert URL not in found.files[".gitmodules"]
    assert found.files[".gitmodules"].count(f"url={other}/{PROJECT}/v") == 2
    assert other in found.files["README.md"]
    assert len(found.log) == 2


def test_a_worker_that_lost_the_lock_leaves_the_old_one(the: Project) -> None:
    visits = the.put("v1")
    the.renew(visits)
    before = the.files()
    the.put("v2")
    guard = LosingGuard(0)
    with pytest.raises(LeaseLost):
        the.renew(visits, guard=guard)
    assert the.files() == before
    assert not (the.folder / ".icfqueue").exists()


def test_what_a_worker_left_between_the_two_files_is_finished(the: Project) -> None:
    one, two = the.put("v1", "v2")
    remove_deposit(the.store, two)
    the.renew([one])
    old = (the.folder / REFS).read_bytes()
    the.put("v2")
    the.renew([two])
    new = the.files()
    for left in (old, None, b"", b"nonsense"):
        if left is None:
            (the.folder / REFS).unlink()
        else:
            (the.folder / REFS).write_bytes(left)
        assert the.renew([one]).changed == frozenset()
        assert the.files() == new


def test_a_damaged_one_begins_anew(the: Project) -> None:
    visits = the.put("v1", "v2")
    the.renew(visits)
    whole = (the.folder / EXPORT).read_bytes()
    for keep in range(0, len(whole), len(whole) // 23):
        (the.folder / EXPORT).write_bytes(whole[:keep])
        the.renew(visits[:1])
        found = the.look()
        assert found.links == {visit.id: commit_of(visit) for visit in visits}
        assert found.refs == found.commit


def test_one_whose_objects_are_damaged_begins_anew_as_well(the: Project) -> None:
    visits = the.put("v1", "v2")
    the.renew(visits)
    whole = (the.folder / EXPORT).read_bytes()
    begin = whole.index(b"PACK") + 12
    for place in range(begin, begin + 600, 40):
        harmed = bytearray(whole)
        harmed[place] ^= 0xFF
        (the.folder / EXPORT).write_bytes(bytes(harmed))
        the.put("v1", version=place)
        the.renew(visits[:1])
        found = the.look()
        assert found.links["v1"] == commit_of(visits[0], place)
        assert found.refs == found.commit


@pytest.mark.parametrize("when", ["cat-file --batch", "pack-objects"])
@pytest.mark.parametrize("how", ["kill -9 $$", "echo 'fatal: Out of memory' >&2; exit 128"])
def test_a_git_that_is_killed_or_has_no_memory_breaks_no_clone(
    the: Project, program: Callable[[str, str], None], when: str, how: str
) -> None:
    """It is tried again later; a new history would end that of every clone."""
    visits = the.put("v1", "v2")
    the.renew(visits)
    before = the.files()
    the.put("v1", version=1)
    git_itself = programs.find_program("git")
    program("git", f'case "$*" in "{when}"|"{when} "*) {how};; esac; {git_itself} "$@"')
    with pytest.raises(ToolFailed):
        the.renew(visits[:1])
    assert the.files() == before


def test_a_deposit_that_is_damaged_is_not_listed(the: Project) -> None:
    good, bad = the.put("v1", "v2")
    the.store.path(bad, bad.repo_export).write_bytes(b"PK")
    found = the.renew([good, bad])
    assert found.read[bad] is None
    assert the.look().links == {"v1": commit_of(good)}


def test_a_deposit_that_goes_while_the_list_is_made_is_not_on_it(the: Project) -> None:
    visits = the.put("v1", "v2", "v3")
    _, goes, _ = visits

    def withdraw() -> None:
        if (the.folder / ".icfqueue").exists():
            the.store.path(goes, goes.refs).unlink(missing_ok=True)

    the.renew(visits, guard=MeddlingGuard(withdraw))
    assert the.look().links.keys() == {"v1", "v3"}


def test_where_deposits_go_faster_than_that_it_is_tried_again_later(
    the: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    the.put("v1")
    monkeypatch.setattr(renewal._Superdataset, "renew", lambda *_: None)
    with pytest.raises(TransientError, match="come and go"):
        the.renew()


def test_what_is_found_names_visits_commits_and_what_it_was_made_for(
    the: Project, tmp_path: Path
) -> None:
    assert renewal.find(the.store, PROJECT, _folder(tmp_path, "0")) is None
    visits = the.put("v1", "v2")
    the.renew(visits)
    assert renewal.exists(the.store, PROJECT)
    found = renewal.find(the.store, PROJECT, _folder(tmp_path, "1"))
    assert found is not None
    assert found.commit == found.refs == the.look().commit
    assert found.commits == {visit: commit_of(visit) for visit in visits}
    assert found.made == Made(renewal.FORMAT, f"{URL}/{PROJECT}")
    (the.folder / EXPORT).write_bytes(b"PK")
    assert renewal.find(the.store, PROJECT, _folder(tmp_path, "2")) is None


def _folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def test_what_a_person_changed_by_hand_is_written_anew_on_top(the: Project) -> None:
    """A list that is not understood is no reason to break the clones of it."""
    visits = the.put("v1")
    the.renew(visits)
    first = the.look().commit
    scratch = _folder(the.store.root.parent, "hand")
    repo = renewal.repository.make_bare(scratch / "repo")
    with (the.folder / EXPORT).open("rb") as export:
        renewal.commits.unpack(export, repo)
    tree = git(repo, "rev-parse", f"{first}^{{tree}}").strip()
    blob = git(repo, "rev-parse", f"{first}:README.md").strip()
    kept = git(repo, "ls-tree", tree).replace("README.md", "HAND.md")
    listing = "".join(f"{line}\n" for line in kept.splitlines() if "gitmodules" not in line)
    listing += f"100644 blob {blob}\t.gitmodules\n"
    made = renewal.commits.programs.run(
        ["git", "mktree"], repo=repo, guard=UNGUARDED, stdin=listing.encode()
    )
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    words = ["commit-tree", "-p", first, "-m", "by hand", made.decode().strip()]
    commit = git(repo, *who, *words).strip()
    (repo / HEAD).write_text(f"{commit}\n")
    git(repo, "repack", "-adq")
    refs = deposit.pack_refs(repo)
    deposit.write_export(repo, scratch / "export", Made(1, f"{URL}/{PROJECT}"))
    (the.folder / EXPORT).write_bytes((scratch / "export").read_bytes())
    (the.folder / REFS).write_bytes(deposit.refs_text(refs))
    the.renew(visits)
    found = the.look()
    assert found.log[1:] == [commit, first]
    assert found.links == {"v1": commit_of(visits[0])}
    assert "README.md" in found.files
    assert "HAND.md" not in found.files


def test_what_a_visit_more_adds_does_not_grow_with_those_that_are_there(
    the: Project,
) -> None:
    """In bytes; seconds are measured by `benchmarks/superdataset.py`."""
    put_deposits(the.store, PROJECT, (f"v{number:04d}" for number in range(600)))
    the.renew()
    before = (the.folder / EXPORT).stat().st_size
    for number in range(5):
        the.renew(the.put(f"w{number}"))
    assert (the.folder / EXPORT).stat().st_size - before < 10_000
    assert len(the.look().links) == 605
