"""The audit of each visit and the proof of its deposit: which is made, what is reported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec import structs
from support.faulty_store import FaultyStore
from support.in_process_queue import InProcessQueue

from icfqueue.core.errors import BadId, UsageError
from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import renewal
from icfqueue.operations import verify
from icfqueue.operations.clone_proof import Proof
from icfqueue.operations.verify import Verification
from icfqueue.pipeline.catalog_batch import rebuild_catalog
from icfqueue.store.directory import Store

PROJECT = "study_1"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FaultyStore]:
    (tmp_path / "web" / PROJECT).mkdir(parents=True)
    with FaultyStore(tmp_path / "web", auth=False) as made:
        yield made


@pytest.fixture
def queue(in_process_queue: InProcessQueue, web: FaultyStore) -> InProcessQueue:
    """Two real visits are done; the store has their tarballs."""
    visits = in_process_queue.build(2)
    for visit in visits:
        tarball = in_process_queue.store.path(visit, visit.tarball)
        (web.root / PROJECT / visit.tarball).write_bytes(tarball.read_bytes())
    in_process_queue.enqueue(visits, store_url=web.url)
    in_process_queue.drain()
    return in_process_queue


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Visits that were proven, with the number of images; nothing is cloned."""
    made: dict[str, int] = {}

    def prove(_: Store, visit: Visit, sample: int, login: Mapping[str, str]) -> Proof:
        made[visit.id] = sample
        assert login == {}
        return Proof(
            visit, good=visit.id != "visit_02", words=f"of {visit.id}", hint="redo"
        )

    monkeypatch.setattr(verify.clone_proof, "prove", prove)
    return made


def verification(
    queue: InProcessQueue, web: FaultyStore, sample: int | None = 1
) -> Verification:
    settings = structs.replace(queue.settings, store_url=web.url)
    return Verification(settings, queue.store, queue.ledger, PROJECT, sample)


def test_every_visit_is_audited_and_proven(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    made = verification(queue, web, sample=3)
    one, two = list(made.examine())
    assert proofs == {"visit_01": 3, "visit_02": 3}
    assert one == {
        "visit": "visit_01",
        "good": True,
        "state": "done",
        "unreachable": False,
        "proof": "of visit_01",
        "differences": [],
    }
    assert not two["good"]
    assert [found["where"] for found in two["differences"]] == ["proof"]
    report = made.report
    assert (report["good"], report["unreachable"]) == (False, False)
    assert report["visits"] == [one, two]
    assert json.loads(json.dumps(report)) == report


def test_audit_only_clones_nothing(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    made = verification(queue, web, sample=None)
    assert [line["good"] for line in made.examine()] == [True, True]
    assert proofs == {}
    assert made.report["good"]


def test_audit_only_needs_no_store(queue: InProcessQueue, web: FaultyStore) -> None:
    web.fail("status", status=500, times=None)
    before = web.count()
    made = verification(queue, web, sample=None)
    assert [line["good"] for line in made.examine()] == [True, True]
    assert (made.report["good"], made.report["unreachable"]) == (True, False)
    assert web.count() == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [("visit_1", "did you mean visit_01?"), ("qqqq", "see 'icfqueue status study_1'")],
)
def test_a_visit_of_which_there_is_nothing_is_wrong_usage(
    queue: InProcessQueue, web: FaultyStore, name: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=f"nothing of study_1/{name}") as caught:
        list(verification(queue, web).examine(["visit_02", name]))
    assert caught.value.hint == hint


def test_of_a_tarball_that_is_no_good_the_errors_own_remedy_is_told_alone(
    queue: InProcessQueue, web: FaultyStore
) -> None:
    """What made it fail makes it fail again."""
    bad = Visit(PROJECT, "bad")
    tarball = queue.store.path(bad, bad.tarball)
    tarball.write_bytes(b"no tar at all" * 1000)
    os.utime(tarball, (1, 1))
    queue.enqueue([bad], store_url=web.url)
    queue.drain()
    (line,) = verification(queue, web).examine(["bad"])
    assert line["state"] == "failed"
    hints = {found["where"]: found["hint"] for found in line["differences"]}
    assert "obtain it again" in hints.pop("record")
    assert hints == {"metadata": "", "proof": ""}


def test_named_visits_are_looked_at_alone(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    (queue.store.project_dir(PROJECT) / ".icfqueue" / "left").mkdir(parents=True)
    made = verification(queue, web)
    assert [line["visit"] for line in made.examine(["visit_01"])] == ["visit_01"]
    assert list(proofs) == ["visit_01"]
    assert made.report["good"]
    # All of them: what belongs to no visit is told, too.
    whole = verification(queue, web, sample=None)
    list(whole.examine())
    assert [found["where"] for found in whole.report["orphans"]] == ["work folder"]
    assert not whole.report["good"]


def test_nothing_is_cloned_that_cannot_be_got(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    """No deposit, not finished, or the store does not answer: that is difference enough."""
    broken, active = (Visit(PROJECT, name) for name in ("visit_01", "visit_02"))
    queue.store.path(broken, broken.refs).unlink()
    queue.enqueue([active], force=True, store_url=web.url)
    lines = list(verification(queue, web).examine())
    assert [line["good"] for line in lines] == [False, False]
    assert proofs == {}


def test_a_store_that_does_not_answer_is_asked_once(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    """Each question may take as long as a connection may."""
    web.fail("status", status=500, times=None)
    made = verification(queue, web)
    lines = list(made.examine())
    assert web.count() == 1
    assert [line["unreachable"] for line in lines] == [True, True]
    assert "not asked again" in lines[1]["differences"][0]["what"]
    assert made.report["unreachable"]
    assert proofs == {}


def test_damaged_metadata_of_one_visit_do_not_end_it(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    bad = Visit(PROJECT, "visit_01")
    queue.store.path(bad, bad.metadata_tarball).write_text("{")
    lines = list(verification(queue, web, sample=None).examine())
    assert [line["good"] for line in lines] == [False, True]
    assert proofs == {}


def test_a_visit_that_is_only_in_the_ledger_is_looked_at(
    queue: InProcessQueue, web: FaultyStore, proofs: dict[str, int]
) -> None:
    queue.enqueue([Visit(PROJECT, "elsewhere")], store_url=web.url)
    lines = list(verification(queue, web).examine())
    assert [line["visit"] for line in lines] == ["elsewhere", "visit_01", "visit_02"]
    assert "elsewhere" not in proofs


def test_a_project_of_which_there_is_nothing_is_wrong_usage(
    in_process_queue: InProcessQueue, web: FaultyStore
) -> None:
    with pytest.raises(UsageError, match="nothing of study_1"):
        list(verification(in_process_queue, web).examine())
    made = verification(in_process_queue, web)
    made.project = "../x"
    with pytest.raises(BadId):
        list(made.examine())


def test_the_superdataset_is_looked_at_and_renewed_by_what_is_advised(
    queue: InProcessQueue, web: FaultyStore
) -> None:
    def told() -> list[str]:
        made = verification(queue, web, sample=None)
        lines = list(made.examine())
        found = [one["what"] for line in lines for one in line["differences"]]
        return found + [one["what"] for one in made.report["orphans"]]

    folder = queue.store.project_dir(PROJECT)
    assert told() == []
    (folder / "XDLRA--refs").unlink()
    (words,) = told()
    assert "do not belong together" in words
    (folder / "XDLRA--repo-export").unlink()
    assert told() == ["there is none, or it is damaged"]
    settings = structs.replace(queue.settings, store_url=web.url)
    rebuild_catalog(settings, queue.store, queue.ledger, PROJECT)
    assert told() == []
    assert renewal.exists(queue.store, PROJECT)
    left = structs.replace(settings, superdataset=False)
    (folder / "XDLRA--refs").unlink()
    rebuild_catalog(left, queue.store, queue.ledger, PROJECT)
    assert not (folder / "XDLRA--refs").exists()
