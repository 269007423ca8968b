"""Trouble that one worker finds and the others need not find again."""

from __future__ import annotations

import time

import pytest

from icfqueue.core.errors import (
    AccessDenied,
    BadTarball,
    DiskTrouble,
    NetworkTrouble,
    NoRoom,
    NotInStore,
    StepError,
    StoreBusy,
)
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Ledger
from icfqueue.pipeline import circuit_breaker
from icfqueue.pipeline.circuit_breaker import PutOff
from icfqueue.steps.job import Options

HERE = Visit("study_1", "v1")
THERE = Visit("study_2", "v1")
URL = "https://user:hunter2@store.example.org/data"
OPTIONS = Options(URL)
CHOSEN = Settings(store_faults=3, store_pause=60.0, disk_pause=30.0)


def note(ledger: Ledger, error: StepError, visit: Visit = HERE) -> None:
    circuit_breaker.note(ledger, CHOSEN, visit, error, OPTIONS)


def check(ledger: Ledger, step: str = "fetch", visit: Visit = HERE, url: str = URL) -> None:
    circuit_breaker.check(ledger, CHOSEN, visit, step, url)


def test_without_trouble_every_step_may_begin(ledger: Ledger) -> None:
    check(ledger)
    check(ledger, "index_tar")


def test_refused_access_holds_the_fetches_of_that_project_alone(ledger: Ledger) -> None:
    note(ledger, AccessDenied("401 for study_1", hint="give a credential"))
    with pytest.raises(AccessDenied, match="401 for study_1") as found:
        check(ledger)
    assert found.value.hint == "give a credential"
    check(ledger, "index_tar")
    check(ledger, visit=THERE)
    assert ledger.note_ends("hold:study_1") == 0.0
    circuit_breaker.lift(ledger, "study_1")
    check(ledger)


def test_one_visit_that_is_forbidden_holds_no_other(ledger: Ledger) -> None:
    """Nor do many, as long as the store gives one of the project now and then."""
    for _ in range(5):
        note(ledger, AccessDenied("403 for v1", forbidden=True))
        note(ledger, AccessDenied("403 for v2", forbidden=True))
        check(ledger)
        circuit_breaker.given(ledger, "study_1")
    note(ledger, NoRoom("too large, but given"))


def test_several_that_are_forbidden_in_a_row_hold_the_project(ledger: Ledger) -> None:
    for number in range(3):
        check(ledger)
        note(ledger, AccessDenied(f"403 for v{number}", hint="ask them", forbidden=True))
    with pytest.raises(AccessDenied, match=r"3 visits in a row .* 403 for v2") as found:
        check(ledger)
    assert found.value.hint == "ask them"
    check(ledger, visit=THERE)
    circuit_breaker.lift(ledger, "study_1")
    # From the beginning, so that each retry gets further than one visit.
    for _ in range(2):
        note(ledger, AccessDenied("403", forbidden=True))
        check(ledger)


def test_a_store_that_kept_a_worker_waiting_is_left_alone_at_once(ledger: Ledger) -> None:
    """And half open after: one asks it, and others' failures are no visit's fault."""
    slow = NetworkTrouble("trickles", slow=True)
    assert circuit_breaker.note(ledger, CHOSEN, HERE, slow, OPTIONS) is None
    with pytest.raises(PutOff, match="trickles"):
        check(ledger)
    check(ledger, url="https://other.example.org")
    ledger.drop_note("rest:store.example.org")
    check(ledger)
    with pytest.raises(PutOff, match="another visit asks it first"):
        check(ledger, visit=THERE)
    assert isinstance(circuit_breaker.note(ledger, CHOSEN, HERE, slow, OPTIONS), PutOff)
    assert ledger.note("faults:store.example.org") == "4"


def test_a_full_disk_rests_every_step_of_every_project(ledger: Ledger) -> None:
    note(ledger, DiskTrouble("no space left", hint="make room"))
    for visit in (HERE, THERE):
        for step in ("fetch", "export_repo", "cleanup"):
            with pytest.raises(PutOff) as found:
                check(ledger, step, visit)
            assert isinstance(found.value.cause, DiskTrouble)
            assert found.value.cause.step == step
            assert 29.0 < found.value.seconds <= 30.5


def test_a_busy_store_is_left_alone_for_as_long_as_it_asked(ledger: Ledger) -> None:
    note(ledger, StoreBusy("503", retry_after=100.0))
    with pytest.raises(PutOff) as found:
        check(ledger)
    assert 99.0 < found.value.seconds <= 100.5
    check(ledger, "index_tar")
    check(ledger, url="https://other.example.org")
    # Another project of the same store waits too.
    with pytest.raises(PutOff):
        check(ledger, visit=THERE, url="https://store.example.org/elsewhere")


@pytest.mark.parametrize(
    "error", [NetworkTrouble("reset"), StoreBusy("503"), StoreBusy("503", retry_after=0.0)]
)
def test_a_store_that_fails_again_and_again_is_left_alone_for_a_while(
    ledger: Ledger, error: StepError
) -> None:
    for _ in range(2):
        note(ledger, error)
        check(ledger)
    note(ledger, error)
    with pytest.raises(PutOff):
        check(ledger)
    ledger.drop_note("rest:store.example.org")
    # After the rest one more fault is enough.
    note(ledger, error)
    with pytest.raises(PutOff):
        check(ledger)


def test_after_the_rest_one_visit_asks_first_and_its_failure_does_not_count(
    ledger: Ledger,
) -> None:
    other = Visit("study_1", "v2")
    for _ in range(3):
        assert (
            circuit_breaker.note(ledger, CHOSEN, HERE, NetworkTrouble("x"), OPTIONS) is None
        )
    for first in (HERE, other):
        ledger.drop_note("rest:store.example.org")
        check(ledger, visit=first)
        with pytest.raises(PutOff, match="another visit asks it first") as found:
            check(ledger, visit=other if first == HERE else HERE)
        assert found.value.seconds <= circuit_breaker.SOON
        check(ledger, "index_tar", other)
        put_off = circuit_breaker.note(ledger, CHOSEN, first, NetworkTrouble("x"), OPTIONS)
        assert isinstance(put_off, PutOff)
        assert put_off.seconds == 60.5
        with pytest.raises(PutOff, match=r"^x$"):
            check(ledger, visit=first)
    ledger.drop_note("rest:store.example.org")
    check(ledger)
    circuit_breaker.well(ledger, OPTIONS)
    check(ledger, visit=other)


def first_asks(ledger: Ledger) -> None:
    """Have the store fail, the rest over, and one visit ask it."""
    for _ in range(3):
        note(ledger, NetworkTrouble("x"))
    ledger.drop_note("rest:store.example.org")
    check(ledger)


def test_a_store_without_the_tarball_is_well(ledger: Ledger) -> None:
    first_asks(ledger)
    note(ledger, NotInStore("404"))
    check(ledger, visit=THERE)


def test_a_visit_that_did_not_need_the_store_lets_another_ask(ledger: Ledger) -> None:
    first_asks(ledger)
    circuit_breaker.probed(ledger, HERE, OPTIONS)
    check(ledger, visit=THERE)
    with pytest.raises(PutOff):
        check(ledger)


def test_an_outage_of_more_than_a_day_counts(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visits that alone cannot be had do not wait for ever."""
    monkeypatch.setattr(circuit_breaker, "OUTAGE", 120.0)
    found = [
        circuit_breaker.note(ledger, CHOSEN, HERE, NetworkTrouble("x"), OPTIONS)
        for _ in range(7)
    ]
    assert [each is not None for each in found] == [False] * 3 + [True] * 2 + [False] * 2


def test_a_tarball_that_cannot_be_read_rests_nobody(ledger: Ledger) -> None:
    note(ledger, DiskTrouble("Input/output error", full=False))
    check(ledger)


def test_an_answer_of_the_store_ends_the_row_of_faults(ledger: Ledger) -> None:
    for _ in range(5):
        note(ledger, NetworkTrouble("reset"))
        note(ledger, NetworkTrouble("reset"))
        circuit_breaker.well(ledger, OPTIONS)
    check(ledger)


@pytest.mark.parametrize("error", [BadTarball("x"), NotInStore("x"), NoRoom("x")])
def test_what_concerns_one_visit_is_not_noted(ledger: Ledger, error: StepError) -> None:
    for _ in range(5):
        note(ledger, error)
    check(ledger)


def test_a_rest_ends_by_itself(ledger: Ledger) -> None:
    note(ledger, StoreBusy("503", retry_after=0.1))
    time.sleep(0.15)
    check(ledger)


def test_no_password_of_a_store_url_becomes_a_key(ledger: Ledger) -> None:
    note(ledger, StoreBusy("503", retry_after=100.0))
    for _ in range(3):
        note(ledger, NetworkTrouble("reset"))
    assert not [name for name in ledger.client.scan_iter() if "hunter2" in name]


def test_a_tarball_that_is_here_asks_no_store_and_so_meets_none_of_its_troubles(
    ledger: Ledger,
) -> None:
    note(ledger, AccessDenied("401"))
    note(ledger, StoreBusy("503", retry_after=100.0))
    circuit_breaker.check(ledger, CHOSEN, HERE, "fetch", URL, here=True)
    with pytest.raises(AccessDenied):
        check(ledger)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (DiskTrouble("x"), 30.0),
        (NoRoom("x", size=5), 30.0),
        (DiskTrouble("one tarball cannot be read", full=False), None),
        (StoreBusy("x", retry_after=7.0), 7.0),
        (StoreBusy("x", retry_after=0.0), None),
        (StoreBusy("x"), None),
        (NetworkTrouble("x"), None),
        (BadTarball("x"), None),
    ],
)
def test_a_wait_that_is_no_fault_of_the_visit_is_not_counted(
    error: StepError, waits: float | None
) -> None:
    assert circuit_breaker.uncounted_wait(error, CHOSEN) == waits
