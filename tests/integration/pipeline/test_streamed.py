"""A visit that is streamed, in the pipeline: reading it is a download, and kept as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from support.faulty_store import FaultyStore
from support.in_process_queue import InProcessQueue

from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.ledger.record import State
from icfqueue.operations.reconcile import reconcile
from icfqueue.operations.verify import Verification
from icfqueue.overview.observer import Observer
from icfqueue.pipeline import attempt
from icfqueue.pipeline.heartbeat import Heartbeat


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    build_project(tmp_path / "web", "study_1", 1)
    with FaultyStore(tmp_path / "web", auth=False) as made:
        yield made


@pytest.fixture
def asked(web: FaultyStore, in_process_queue: InProcessQueue) -> Visit:
    """A visit for which `fetch` has asked; its message lies among the downloads."""
    queue = in_process_queue
    visit = Visit("study_1", "visit_01")
    queue.enqueue([visit], store_url=web.url, stream=True)
    message = queue.take()
    assert message
    assert queue.handle(message) == "queued"
    assert queue.queues.depth("fetch") == 1
    assert queue.queues.depth("index") == 0
    return visit


def test_all_steps_are_done_and_the_record_says_that_it_was_streamed(
    in_process_queue: InProcessQueue, asked: Visit, web: FaultyStore
) -> None:
    in_process_queue.drain()
    found = in_process_queue.record(asked)
    assert (found.state, found.streamed, found.fingerprint) == (State.DONE, True, None)
    assert found.tar_bytes == (web.root / asked.storepath).stat().st_size
    assert not in_process_queue.store.path(asked, asked.tarball).exists()
    assert web.count("GET", f"/{asked.storepath}") == 1
    # Once more it is up to date, without a look at the store.
    plans = in_process_queue.producer.plan([asked], found.options)
    assert [plan.deed for plan in plans] == ["up to date"]


def test_who_looks_at_a_visit_that_was_streamed_misses_no_tarball(
    in_process_queue: InProcessQueue, asked: Visit, web: FaultyStore
) -> None:
    """`verify` finds nothing, `reconcile` restores its record, `--force` does it anew."""
    queue = in_process_queue
    queue.drain()
    chosen = structs.replace(queue.settings, store_url=web.url)
    looking = Verification(chosen, queue.store, queue.ledger, "study_1", None)
    assert [line["differences"] for line in looking.examine()] == [[]]
    assert looking.report["good"]
    options = queue.record(asked).options
    assert queue.ledger.forget(asked, queue.ledger.get(asked))
    assert reconcile(chosen, queue.store, queue.ledger, "study_1").restored == [asked]
    plans = queue.producer.plan([asked], replace(options, remove_tarball=True))
    assert [plan.deed for plan in plans] == ["up to date"]
    queue.enqueue([asked], store_url=web.url, stream=True, force=True)
    queue.drain()
    assert (queue.record(asked).state, queue.record(asked).streamed) == (State.DONE, True)
    assert web.count("GET", f"/{asked.storepath}") == 2


@pytest.mark.parametrize("here", [False, True])
def test_a_store_that_rests_is_not_asked(
    in_process_queue: InProcessQueue, asked: Visit, web: FaultyStore, here: bool
) -> None:
    """Unless the tarball has come here meanwhile."""
    queue = in_process_queue
    words = '{"message": "it rests", "hint": "", "cause": "store-busy"}'
    queue.ledger.notes.put(f"rest:127.0.0.1:{web.port}", words, 60.0)
    if here:
        tarball = queue.store.path(asked, asked.tarball)
        tarball.parent.mkdir(exist_ok=True)
        tarball.write_bytes((web.root / asked.storepath).read_bytes())
    message = queue.take()
    assert message
    assert queue.handle(message) == ("queued" if here else "waiting")
    found = queue.record(asked)
    if not here:
        assert (found.error or {}).get("message") == "it rests"
        assert found.steps[1].attempts == 0
    assert web.count("GET", f"/{asked.storepath}") == 0


def test_the_stores_faults_are_counted_and_forgotten_as_those_of_a_download(
    in_process_queue: InProcessQueue, asked: Visit, web: FaultyStore
) -> None:
    queue = in_process_queue
    faults = f"faults:127.0.0.1:{web.port}"
    web.fail("status", status=500, path=f"/{asked.storepath}", method="GET")
    message = queue.take()
    assert message
    assert queue.handle(message) == "waiting"
    assert queue.ledger.notes.get(faults) == "1"
    queue.drain()
    assert queue.record(asked).steps[1].attempts == 2
    assert queue.ledger.notes.get(faults) is None


def test_it_may_stand_still_for_as_long_as_a_download(
    in_process_queue: InProcessQueue, asked: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls: list[float] = []

    class Noted(Heartbeat):
        def __init__(self, *args: object, stall: float, **more: object) -> None:
            stalls.append(stall)
            super().__init__(*args, stall=stall, **more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(attempt, "Heartbeat", Noted)
    for _ in range(2):
        message = in_process_queue.take()
        assert message
        in_process_queue.handle(message)
    assert in_process_queue.record(asked).step == "export_repo"
    stall = in_process_queue.settings.stall
    assert stalls == [stall["fetch"], stall["write_json"]]


def test_what_passes_is_seen_where_it_passes(
    in_process_queue: InProcessQueue, asked: Visit
) -> None:
    """The `fetch` that only asked has moved nothing, though the visit has a size."""
    observer = Observer(in_process_queue.ledger, "study_1", 1)
    observer.look()
    in_process_queue.hold(asked)
    size = in_process_queue.record(asked).tar_bytes
    assert size
    in_process_queue.ledger.renew_all({asked: "t"}, 30.0, size // 2, 0)
    picture = observer.look()
    (one,) = picture.running
    assert (one.step, one.moved, one.to_move) == ("index_tar", size // 2, size)
    assert set(picture.rates) <= {"index_tar"}
