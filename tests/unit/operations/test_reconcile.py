"""Records are made anew of what is complete, and only from a project that is there."""

from __future__ import annotations

import pytest
from msgspec import structs
from support.in_process_queue import URL, InProcessQueue
from support.ledger import check_indexes

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.reconcile import Reconciled, reconcile
from icfqueue.store.directory import Store


@pytest.fixture
def before(in_process_queue: InProcessQueue) -> Record:
    """The record of a real visit that is done; then the broker loses all data."""
    (visit,) = in_process_queue.build(1)
    in_process_queue.enqueue([visit])
    in_process_queue.drain()
    found = in_process_queue.record(visit)
    assert found.state == State.DONE
    in_process_queue.ledger.client.flushall()
    return found


def again(queue: InProcessQueue) -> Reconciled:
    settings = structs.replace(queue.settings, store_url=URL)
    return reconcile(settings, queue.store, queue.ledger, "study_1")


def test_a_complete_visit_is_done_again_with_all_that_is_known_of_it(
    in_process_queue: InProcessQueue, before: Record
) -> None:
    assert again(in_process_queue) == Reconciled([], [before.visit], {})
    found = in_process_queue.record(before.visit)
    for field in ("state", "tar_bytes", "tar_md5", "dicoms", "refs", "options"):
        assert getattr(found, field) == getattr(before, field), field
    assert found.finished_at == found.started_at
    assert in_process_queue.take() is None
    # The second time it is known.
    assert again(in_process_queue) == Reconciled([before.visit], [], {})


def test_a_visit_without_a_page_is_one_for_which_none_was_asked(
    in_process_queue: InProcessQueue, before: Record
) -> None:
    catalog = in_process_queue.store.catalog_dir("study_1")
    catalog.rename(in_process_queue.store.root / "aside")
    again(in_process_queue)
    assert in_process_queue.record(before.visit).options.catalog is False


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("refs", "no whole dataset"),
        ("repo_export", "no whole dataset"),
        ("metadata_tarball", "no metadata"),
        ("work folder", "work folder is still to be removed"),
        ("changed tarball", "is not the tarball"),
    ],
)
def test_what_is_not_complete_is_left_with_the_reason(
    in_process_queue: InProcessQueue, before: Record, what: str, words: str
) -> None:
    store, visit = in_process_queue.store, before.visit
    if what == "work folder":
        store.make_dir(store.work_dir(visit))
    elif what == "changed tarball":
        with store.path(visit, visit.tarball).open("ab") as file:
            file.write(b"x")
    else:
        store.path(visit, getattr(visit, what)).unlink()
    found = again(in_process_queue)
    assert (found.known, found.restored) == ([], [])
    assert words in found.left[visit]
    assert in_process_queue.ledger.get(visit) is None


def test_half_the_metadata_of_a_visit_without_tarball_are_a_fault(
    in_process_queue: InProcessQueue, before: Record
) -> None:
    store, visit = in_process_queue.store, before.visit
    store.path(visit, visit.tarball).unlink()
    store.path(visit, visit.metadata_dicoms).unlink()
    assert again(in_process_queue).left == {visit: "metadata without their counterpart"}


def test_a_visit_whose_tarball_and_metadata_were_removed_is_complete(
    in_process_queue: InProcessQueue, before: Record
) -> None:
    store, visit = in_process_queue.store, before.visit
    for name in (visit.tarball, visit.metadata_tarball, visit.metadata_dicoms):
        store.path(visit, name).unlink()
    assert again(in_process_queue).restored == [visit]


def test_a_tarball_of_which_nothing_was_made_is_left(
    in_process_queue: InProcessQueue,
) -> None:
    (visit,) = in_process_queue.build(1)
    assert again(in_process_queue).left == {visit: "no whole dataset for this store URL"}


def test_a_project_whose_folder_is_missing_is_a_fault_of_the_command_line(
    settings: Settings, store: Store, ledger: RedisLedger
) -> None:
    with pytest.raises(UsageError, match="study_1 is not there") as found:
        reconcile(settings, store, ledger, "study_1")
    assert found.value.exit_code == 2
    (store.root / "study_1").mkdir()
    assert reconcile(settings, store, ledger, "study_1").restored == []


def test_what_no_index_names_stands_in_all_of_them_again(
    in_process_queue: InProcessQueue,
) -> None:
    """Though the broker's user may not look for records, the store names the visits."""
    visits = in_process_queue.build(2)
    in_process_queue.enqueue(visits)
    client = in_process_queue.ledger.client
    client.delete(*client.keys("icfqueue:in:*"), "icfqueue:projects")
    assert again(in_process_queue).known == visits
    check_indexes(in_process_queue.ledger)
