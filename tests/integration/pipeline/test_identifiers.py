"""Identifiers on their way: nobody's value is written anywhere where it did not stand."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from support.in_process_queue import InProcessQueue
from support.pipeline import error_of
from support.schema import check_status

from benchmarks.identifiers import UTF8, Person, image
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import write_tar
from icfqueue.ledger.record import State
from icfqueue.operations import status
from icfqueue.reports.report import as_json, make_report
from icfqueue.tarball.identifiers import watch

VISIT = Visit("study_1", "v1")
PERSON = Person(
    UTF8,
    "Zwiebelfisch^Kunigunde=山田^太郎",
    id="HOSP7700123",
    birth_date="19310214",
    other_id="XK-99177",
    accession="ACC/440071",
)
IN_PATH, IN_TAG = "Zwiebelfisch", "Kunigunde"
HIDDEN = ("山田", "太郎", "HOSP7700123", "7700123", "19310214", "XK-99177", "440071")
"""Values that stand in headers alone."""


@pytest.fixture
def queue(
    in_process_queue: InProcessQueue, caplog: pytest.LogCaptureFixture
) -> InProcessQueue:
    """A visit with a name in a path and in a tag; all that is logged is caught."""
    caplog.set_level(logging.DEBUG)
    tarball = in_process_queue.store.root / VISIT.storepath
    tarball.parent.mkdir(exist_ok=True)
    tag = f"head {IN_TAG}"
    write_tar(
        tarball,
        [
            ("study_1_v1/1.dcm", image(PERSON, "t1")),
            (f"study_1_v1/{IN_PATH}_2.dcm", image(PERSON, "t1")),
            ("study_1_v1/3.dcm", image(PERSON, tag)),
        ],
    )
    return in_process_queue


def brokers_memory(client: redis.Redis) -> str:
    """Return all that the broker has, as text."""
    readers = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    found = []
    for key in client.scan_iter():
        value = readers[str(client.type(key))](key)
        # Names of visits in Redis are text; messages of Celery are base64 of JSON.
        found.append(f"{key} {value!r}")
    return "\n".join(found)


def files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file but the tarball; of a deposit, what git has in it."""
    for path in root.rglob("*"):
        if path.is_file() and not path.name.endswith("_dicom.tar"):
            yield path.name, path.name.encode() + path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as packed:
                    for name in packed.namelist():
                        yield path.name, name.encode() + packed.read(name)


def said(queue: InProcessQueue, caplog: pytest.LogCaptureFixture) -> str:
    """Return all that was written beside the store: logs, broker, status and report."""
    record = queue.record(VISIT)
    shown = "".join(status.project_lines(queue.ledger, "study_1"))
    check_status(json.loads(shown))
    logged = "\n".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)
    memory = brokers_memory(queue.ledger.client)
    return "\n".join([logged, caplog.text, memory, shown, repr(record)])


def test_a_flagged_visit_is_done_and_no_value_is_told(
    queue: InProcessQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.enqueue([VISIT])
    queue.drain()
    found = queue.record(VISIT)
    assert found.state == State.DONE
    assert found.identifiers == Identifiers(1, 1, ("name",))
    report = json.dumps(as_json(make_report(queue.store, "study_1", [found])))
    told = said(queue, caplog)
    for value in (*HIDDEN, IN_PATH):
        assert value.casefold() not in told.casefold(), value
    # The tag is a series' description, which a report on series has.
    assert IN_TAG not in told
    assert f'"visit": "{VISIT.id}", "paths": 1' in report
    for value in (*HIDDEN, IN_PATH):
        assert value not in report
    kept = dict.fromkeys([IN_PATH, IN_TAG], 0)
    for name, content in files(queue.store.root):
        for value in HIDDEN:
            assert value.encode() not in content, (name, value)
        for value in kept:
            kept[value] += value.encode() in content
    assert all(kept.values()), "the test looks where the paths and tags are"


def test_a_held_visit_leaves_nothing_but_its_record(
    queue: InProcessQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.worker = queue.another(identifiers="hold")
    queue.enqueue([VISIT])
    queue.drain()
    found = queue.record(VISIT)
    assert found.state == State.FAILED
    assert found.step == "index_tar"
    assert found.identifiers == Identifiers(1, 1, ("name",))
    error = error_of(queue, VISIT)
    assert (error["cause"], error["kind"]) == ("identifiers", "permanent")
    assert error["message"] == "identifiers of a person in 1 path and 1 tag (name)"
    assert "'icfqueue retry study_1 v1 --accept-identifiers'" in error["hint"]
    told = said(queue, caplog)
    for value in (*HIDDEN, IN_PATH, IN_TAG):
        assert value.casefold() not in told.casefold(), value
        for name, content in files(queue.store.root):
            assert value.encode() not in content, (name, value)
    assert not [n for n, _ in files(queue.store.root) if n.startswith("v1")]


def test_who_accepts_lets_it_through_and_is_noted(queue: InProcessQueue) -> None:
    queue.worker = queue.another(identifiers="hold")
    queue.enqueue([VISIT])
    queue.drain()
    queue.producer.retry([VISIT], [State.FAILED])
    queue.drain()
    assert queue.record(VISIT).state == State.FAILED
    queue.producer.retry([VISIT], [State.FAILED], accepted_by="ada")
    queue.drain()
    found = queue.record(VISIT)
    assert found.state == State.DONE
    assert found.identifiers is not None
    assert found.identifiers.accepted_by == "ada"
    assert found.identifiers.accepted_at == pytest.approx(queue.ledger.now(), abs=600)
    shown = json.loads("".join(status.project_lines(queue.ledger, "study_1")))
    check_status(shown)
    assert shown["visits"][0]["identifiers_accepted"]["by"] == "ada"
    # A visit that is enqueued again for a new step is still the one that was accepted.
    queue.enqueue([VISIT])
    queue.drain()
    assert queue.record(VISIT).identifiers == found.identifiers


def test_what_was_accepted_is_that_and_nothing_more(queue: InProcessQueue) -> None:
    """Another tarball came in between, with a second path."""
    queue.worker = queue.another(identifiers="hold")
    queue.enqueue([VISIT])
    queue.drain()
    content = image(PERSON, "t1")
    members = [(f"study_1_v1/{IN_PATH}_{n}.dcm", content) for n in range(2)]
    write_tar(queue.store.root / VISIT.storepath, members)
    queue.producer.retry([VISIT], [State.FAILED], accepted_by="ada")
    queue.drain()
    found = queue.record(VISIT)
    assert found.state == State.FAILED
    assert found.identifiers == Identifiers(2, 0, ("name",))
    assert not found.identifiers.accepted_by


def test_a_fault_while_values_are_compared_tells_none(
    queue: InProcessQueue,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Words of exceptions of ours, too, may have one."""

    def broken(values: set[tuple[str, str]], *_: object) -> None:
        raise ValueError(str(values))

    monkeypatch.setattr(watch, "needles", broken)
    queue.enqueue([VISIT])
    queue.drain()
    assert error_of(queue, VISIT)["cause"] == "bug"
    told = said(queue, caplog)
    for value in (*HIDDEN, IN_PATH, IN_TAG):
        assert value.casefold() not in told.casefold(), value


def test_where_nobody_looks_nothing_is_known(queue: InProcessQueue) -> None:
    queue.worker = queue.another(identifiers="off")
    queue.enqueue([VISIT])
    queue.drain()
    found = queue.record(VISIT)
    assert found.state == State.DONE
    assert found.identifiers is None
    assert status.visit_json(replace(found))["identifiers"] is None
