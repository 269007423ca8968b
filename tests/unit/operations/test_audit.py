"""Whether everything that speaks of a visit says the same, and who is asked for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.faulty_store import FaultyStore
from support.in_process_queue import InProcessQueue
from support.superdatasets import put_deposits

from icfqueue.catalog import study
from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset.renewal import Found
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import State
from icfqueue.operations import audit
from icfqueue.operations.audit import (
    Difference,
    differences,
    expects_superdataset,
    of_superdataset,
    orphans,
)
from icfqueue.remote.client import RemoteStore
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

PROJECT = "study_1"


@dataclass
class Audited:
    """A real visit that is done, and the store on the web that has its tarball."""

    queue: InProcessQueue
    web: FaultyStore
    visit: Visit
    remote: RemoteStore = field(init=False)

    def __post_init__(self) -> None:
        self.remote = RemoteStore(self.web.url)

    @property
    def job(self) -> Job:
        options = Options(self.web.url)
        return Job(self.visit, options, self.queue.store, self.queue.settings)

    @property
    def entry(self) -> Entry | None:
        return self.queue.ledger.get(self.visit)

    def path(self, name: str) -> Path:
        return self.queue.store.path(self.visit, name)

    def there(self, name: str) -> Path:
        return self.web.root / PROJECT / name

    @property
    def catalog(self) -> Path:
        return self.queue.store.catalog_dir(PROJECT)

    def look(self, *, remote: bool = True) -> list[Difference]:
        listed = study.listed(self.queue.store, PROJECT, self.web.url)
        store = self.remote if remote else None
        return differences(self.job, self.entry, listed, store)

    def told(self) -> list[tuple[str, str]]:
        return [(found.where, found.what) for found in self.look()]


@pytest.fixture
def the(in_process_queue: InProcessQueue, tmp_path: Path) -> Iterator[Audited]:
    folder = tmp_path / "web" / PROJECT
    folder.mkdir(parents=True)
    with FaultyStore(folder.parent, auth=False) as web:
        (visit,) = in_process_queue.build(1)
        for name in (visit.tarball, visit.md5sum):
            content = in_process_queue.store.path(visit, name).read_bytes()
            (folder / name).write_bytes(content)
        in_process_queue.enqueue([visit], store_url=web.url)
        in_process_queue.drain()
        made = Audited(in_process_queue, web, visit)
        yield made
        made.remote.close()


def test_a_visit_that_is_as_it_should_be_has_no_difference(the: Audited) -> None:
    assert the.look() == []
    assert the.web.count("HEAD", f"/{the.visit.storepath}") == 1
    assert the.look(remote=False) == []
    assert the.web.count("HEAD", f"/{the.visit.storepath}") == 1


@pytest.mark.parametrize(
    ("where", "harm", "words"),
    [
        ("dataset", lambda the: the.path(the.visit.refs).unlink(), "missing, not whole"),
        ("metadata", lambda the: the.path(the.visit.metadata_dicoms).unlink(), "missing: "),
        (
            "catalog",
            lambda the: the.catalog.rename(the.catalog.with_name("aside")),
            "its page is missing",
        ),
        ("store", lambda the: the.there(the.visit.tarball).unlink(), "is not there"),
    ],
)
def test_what_is_missing_is_named_with_a_remedy(
    the: Audited, where: str, harm: Callable[[Audited], object], words: str
) -> None:
    harm(the)
    (found,) = the.look()
    assert found.where == where
    assert words in found.what
    assert found.hint
    assert not found.unreachable


def test_a_visit_that_is_under_way_is_not_looked_at(the: Audited) -> None:
    the.queue.enqueue([the.visit], force=True, store_url=the.web.url)
    the.path(the.visit.refs).unlink()
    assert the.told() == [("record", "not finished (queued at fetch)")]


def test_without_a_record_all_else_is_compared(the: Audited) -> None:
    the.queue.ledger.client.flushall()
    assert the.told() == [("record", "there is none")]


def test_a_visit_that_failed_is_told_with_its_reason(the: Audited) -> None:
    the.queue.ledger.update(the.visit, lambda r: record.enqueued(r, r.options, 0, 1.0))
    the.queue.ledger.update(
        the.visit,
        lambda r: replace(r, error={"message": "cut", "hint": ""}).at(state=State.FAILED),
    )
    assert the.told() == [("record", "failed at fetch: cut")]


def test_another_tarball_here_is_told_by_size_and_by_md5(the: Audited) -> None:
    tarball = the.path(the.visit.tarball)
    content = tarball.read_bytes()
    tarball.write_bytes(content + b"x")
    ((where, what),) = the.told()
    assert (where, what.split()[1]) == ("tarball", "bytes,")
    tarball.write_bytes(content[:-1] + b"x")
    ((where, what),) = the.told()
    assert (where, what.split()[0]) == ("tarball", "MD5")
    assert "when the dataset was made" in what


def test_another_tarball_in_the_store_is_told_by_size_and_by_md5(the: Audited) -> None:
    the.there(the.visit.md5sum).write_text(f"{'f' * 32}  {the.visit.tarball}\n")
    ((where, what),) = the.told()
    assert where == "store"
    assert f"has MD5 {'f' * 32}" in what
    with the.there(the.visit.tarball).open("ab") as file:
        file.write(b"x")
    ((where, what),) = the.told()
    assert "bytes, the dataset was made from" in what


def test_other_metadata_than_the_record_counts_are_told(the: Audited) -> None:
    the.queue.ledger.update(the.visit, lambda r: replace(r, dicoms=(r.dicoms or 0) + 1))
    ((where, what),) = the.told()
    assert where == "metadata"
    assert "the record says" in what


def test_a_dataset_with_other_commits_than_the_record_is_told(the: Audited) -> None:
    the.queue.ledger.update(the.visit, lambda r: replace(r, refs={"refs/heads/x": "0"}))
    assert the.told() == [("dataset", "its commits are not those of the record")]


def test_metadata_that_were_removed_on_request_are_not_missed(the: Audited) -> None:
    options = replace(Options(the.web.url), remove_metadata=True)
    the.queue.ledger.update(the.visit, lambda r: replace(r, options=options))
    for name in (the.visit.metadata_tarball, the.visit.metadata_dicoms):
        the.path(name).unlink()
    assert the.told() == []
    # One of them alone is a removal that broke off.
    the.path(the.visit.metadata_dicoms).write_text("[]")
    assert "metadata" in dict(the.told())


def test_damaged_metadata_are_told_and_do_not_end_the_audit(the: Audited) -> None:
    the.path(the.visit.metadata_dicoms).write_text('[{"path": 1}]')
    told = dict(the.told())
    assert "cannot be used" in told["metadata"]


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_store_that_cannot_be_asked_is_told_apart(the: Audited, status: int) -> None:
    the.web.fail("status", status=status, times=None)
    (found,) = the.look()
    assert (found.where, found.unreachable) == ("store", True)


def test_a_store_that_was_silent_before_is_not_asked_again(the: Audited) -> None:
    silent = Difference("store", "not asked again", "", unreachable=True)
    before = the.web.count()
    listed = study.listed(the.queue.store, PROJECT, the.web.url)
    found = differences(the.job, the.entry, listed, the.remote, silent)
    assert found == [silent]
    assert the.web.count() == before


def test_a_visit_that_the_study_page_does_not_list_is_told(the: Audited) -> None:
    found = differences(the.job, the.entry, set(), None)
    assert [(one.where, one.what) for one in found] == [
        ("catalog", "the study page does not list it")
    ]
    # Unless no catalog was asked for.
    options = replace(Options(the.web.url), catalog=False)
    the.queue.ledger.update(the.visit, lambda r: replace(r, options=options))
    assert differences(the.job, the.entry, set(), None) == []


def test_what_belongs_to_no_visit_is_named(store: Store) -> None:
    folder = store.project_dir(PROJECT)
    for name in ("left", "busy", *audit.OF_A_STORE):
        (folder / ".icfqueue" / name).mkdir(parents=True)
    gone, here = Visit(PROJECT, "gone"), Visit(PROJECT, "here")
    (folder / here.refs).touch()
    found = orphans(store, PROJECT, {gone, here}, [Visit(PROJECT, "busy")])
    assert [(one.where, one.what.split(" ")[0]) for one in found] == [
        ("catalog", "gone"),
        ("work folder", str(folder / ".icfqueue" / "left")),
    ]
    assert all(one.hint for one in found)
    assert json.dumps([one.what for one in found])


def test_what_a_killed_archiving_left_is_named_with_what_removes_it(store: Store) -> None:
    """It may be as large as a tarball, and no run goes on with it."""
    left = store.project_dir(PROJECT) / ".icfqueue" / ".archive-visit 1"
    left.mkdir(parents=True)
    [found] = orphans(store, PROJECT, set(), [])
    assert found.hint == f"if it is not: `rm -r {shlex.quote(str(left))}`"


def test_a_project_without_a_folder_has_no_orphans(store: Store) -> None:
    assert orphans(store, PROJECT, set(), []) == []


def test_a_visit_that_the_superdataset_has_otherwise_is_told(the: Audited) -> None:
    entry = the.entry
    assert entry is not None
    listed = study.listed(the.queue.store, PROJECT, the.web.url)
    commit = (entry.record.refs or {})["refs/heads/master"]

    def told(commits: dict[Visit, str]) -> list[tuple[str, str]]:
        found = differences(the.job, the.entry, listed, None, commits=commits)
        return [(one.where, one.what) for one in found]

    assert told({the.visit: commit}) == []
    assert told({}) == [("superdataset", "it does not list the visit")]
    other = [("superdataset", "it has another commit of the visit")]
    assert told({the.visit: "f" * 40}) == other
    # Unless none was asked for.
    options = replace(Options(the.web.url), superdataset=False)
    the.queue.ledger.update(the.visit, lambda r: replace(r, options=options))
    assert told({}) == []


def test_who_asked_for_none_or_is_not_done_expects_no_superdataset(the: Audited) -> None:
    assert the.entry is not None
    found = the.entry.record
    assert expects_superdataset(found)
    without = replace(found.options, superdataset=False)
    assert not expects_superdataset(replace(found, options=without))
    assert not expects_superdataset(record.enqueued(found, found.options, 0, 1.0))
    assert not expects_superdataset(None)


def test_what_is_wrong_with_a_superdataset_as_a_whole_is_told(store: Store) -> None:
    here, gone = put_deposits(store, PROJECT, ["here"])[0], Visit(PROJECT, "gone")

    def told(found: Found | None, *, wanted: bool = True) -> list[str]:
        made = list(of_superdataset(store, PROJECT, found, wanted=wanted))
        assert {one.where for one in made} <= {"superdataset"}
        assert {one.hint for one in made} <= {"'icfqueue catalog study_1' renews it"}
        return [one.what for one in made]

    assert told(Found("a", "a", None, {here: "b"})) == []
    assert told(None) == told(Found("a", "a", None, None))
    assert told(None) == ["there is none, or it is damaged"]
    assert told(None, wanted=False) == []
    (words,) = told(Found("z", "a", None, {here: "b"}))
    assert "do not belong together" in words
    (words,) = told(Found("a", "a", None, {here: "b", gone: "c"}), wanted=False)
    assert words == "it lists gone, which has no deposit"
