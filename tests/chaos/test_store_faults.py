"""A store on the web that fails in every way: each visit ends as it should."""

from __future__ import annotations

import time

from support.chaos_project import FEW, PROJECT
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster

from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State

PASSING = {
    0: {"kind": "status", "status": 500, "times": 2},
    1: {"kind": "reset", "after": 1000, "times": 2},
    2: {"kind": "reset", "times": 1},
    3: {"kind": "stall", "after": 2000, "times": 1},
    4: {"kind": "cut", "after": 1000, "times": 2},
    5: {"kind": "wrong", "after": 3000, "times": 1},
    6: {"kind": "status", "status": 503, "headers": {"Retry-After": "1"}, "times": 1},
}
"""What passes: visit to fault; its download succeeds in the end."""

LASTING = {
    10: ({"kind": "status", "status": 500}, "NetworkTrouble", "transient", 3),
    11: ({"kind": "wrong", "after": 3000}, "NetworkTrouble", "transient", 3),
    12: ({"kind": "status", "status": 404}, "NotInStore", "permanent", 1),
    13: ({"kind": "page"}, "PermanentError", "permanent", 1),
    14: ({"kind": "chunked", "after": 500}, "PermanentError", "permanent", 1),
    15: ({"kind": "cut", "after": 0}, "NetworkTrouble", "transient", 3),
}
"""What stays: visit to fault, and the type, kind and attempts that status shows."""


def test_each_fault_of_the_store_ends_as_it_should(
    cluster: KillableCluster,
    web: FaultyStore,
    visits: list[Visit],
    expected: dict[str, str],
) -> None:
    """What passes is waited for, what stays fails with a reason, the others go on."""
    for number, fault in PASSING.items():
        web.fail(path=f"/{visits[number].storepath}", method="GET", **fault)
    for number, (fault, *_) in LASTING.items():
        web.fail(path=f"/{visits[number].storepath}", times=None, **fault)
    cluster.env |= {
        "ICFQUEUE_READ_TIMEOUT": "2",
        "ICFQUEUE_MAX_ATTEMPTS": "3",
        "ICFQUEUE_STORE_FAULTS": "1000",
    }
    cluster.start_worker(3)
    cluster.enqueue("--remote")
    cluster.wait_drained(60)
    assert cluster.counts() == {State.DONE: 34, State.FAILED: 6}, cluster.explain()
    for number, (_, kind_of_error, kind, attempts) in LASTING.items():
        record = cluster.record(visits[number].id)
        assert record.error
        assert (record.error["type"], record.error["kind"]) == (kind_of_error, kind)
        assert record.steps[0].attempts == attempts, record
        assert not (cluster.root / PROJECT / visits[number].tarball).exists()
    for number in (0, 1, 4):
        assert cluster.record(visits[number].id).steps[0].attempts == 3
    cluster.check_no_traceback()

    web.clear()
    cluster.command("retry", PROJECT)
    cluster.wait_drained(30)
    assert cluster.counts() == {State.DONE: 40}, cluster.explain()
    cluster.check_equals(expected)


def test_a_refused_password_stops_the_whole_project_after_a_few_log_ins(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """Not one log-in for each visit; `retry` goes on when the password is right."""
    web.auth = True
    web.requests.clear()
    wrong = {
        "DATALAD_CREDENTIAL_CHAOS_TYPE": "user_password",
        "DATALAD_CREDENTIAL_CHAOS_REALM": f"{web.url}/{web.realm}",
        "DATALAD_CREDENTIAL_CHAOS_USER": "demo",
        "DATALAD_CREDENTIAL_CHAOS_SECRET": "wrong",
    }
    worker = cluster.start_worker(2, **wrong)
    cluster.enqueue(*few)
    cluster.wait_drained(30)
    assert cluster.counts() == {State.FAILED: FEW}
    errors = {tuple(record.error.items()) for record in cluster.records() if record.error}
    assert {dict(error)["type"] for error in errors} == {"AccessDenied"}
    # Two processes may be under way at once, each with a first try without password.
    assert len(errors) <= 2, errors
    assert web.count(status=401) <= 8
    assert "wrong" not in worker.log.read_text()

    cluster.kill(worker)
    cluster.start_worker(2, **wrong | {"DATALAD_CREDENTIAL_CHAOS_SECRET": web.password})
    cluster.command("retry", PROJECT)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.check_equals(expected_few)


def test_a_tarball_that_is_forbidden_fails_alone(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """403 for one is a file's mode; it is asked for again by `retry` and no sooner."""
    forbidden = Visit(PROJECT, few[0])
    for method in ("GET", "HEAD"):
        web.fail(
            "status",
            path=f"/{forbidden.storepath}",
            method=method,
            status=403,
            times=None,
        )
    cluster.start_worker(2)
    cluster.enqueue(*few)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW - 1, State.FAILED: 1}, cluster.explain()
    error = cluster.record(few[0]).error
    assert error
    assert error["type"] == "AccessDenied"
    assert forbidden.tarball in error["message"]
    assert web.count("GET", f"/{forbidden.storepath}", 403) == 1
    web.clear()
    cluster.command("retry", PROJECT)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
    cluster.check_equals(expected_few)


def test_many_that_are_forbidden_in_a_row_hold_the_project(
    cluster: KillableCluster, web: FaultyStore, few: list[str]
) -> None:
    """The store is not asked for every visit of a project that it does not give."""
    web.fail("status", path="*_dicom.tar", status=403, times=None)
    cluster.env["ICFQUEUE_STORE_FAULTS"] = "3"
    cluster.start_worker(2)
    cluster.enqueue(*few)
    cluster.wait_drained(40)
    assert cluster.counts() == {State.FAILED: FEW}, cluster.explain()
    # Two processes: one may be under way when the third is refused.
    assert 3 <= web.count("GET", status=403) <= 4
    held = [record.error for record in cluster.records() if record.error]
    assert sum("visits in a row were refused" in error["message"] for error in held) >= 6


def test_a_store_that_asks_to_wait_or_fails_over_and_over_is_left_alone(
    cluster: KillableCluster, web: FaultyStore, few: list[str], expected_few: dict[str, str]
) -> None:
    """During the rest nobody asks it, no attempt is counted, and then all go on."""
    cluster.env |= {"ICFQUEUE_STORE_FAULTS": "3", "ICFQUEUE_STORE_PAUSE": "1.5"}
    rest = f"rest:127.0.0.1:{web.port}"
    for fault in ({"status": 503, "headers": {"Retry-After": "2"}}, {"status": 500}):
        web.clear()
        for worker in list(cluster.workers):
            cluster.kill(worker)
        cluster.enqueue("--force", *few)
        for path in (cluster.root / PROJECT).glob("*_dicom.tar"):
            path.unlink()
        web.seen.clear()
        web.fail("status", times=None, path="*_dicom.tar*", **fault)
        cluster.start_worker(2)
        cluster.wait(lambda: cluster.ledger.notes.get(rest), 20, "a rest")
        cluster.wait(lambda: State.RUNNING not in cluster.counts(), 20, "nobody asks")
        now = time.monotonic()
        rest_ends = now + cluster.ledger.notes.ends_in(rest)
        asked = len(web.seen)
        assert asked <= 12
        while time.monotonic() < now + 0.8:
            seen = len(web.seen)
            if time.monotonic() > rest_ends:
                break  # The machine was too busy to look in time.
            assert seen == asked
            time.sleep(0.05)
        web.clear()
        cluster.wait_drained(40)
        assert cluster.counts() == {State.DONE: FEW}, cluster.explain()
        assert max(record.steps[0].attempts for record in cluster.records()) <= 3
        cluster.check_equals(expected_few)
