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
    PutOff,
    StepError,
    StoreBusy,
)
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.pipeline.health import circuit_breaker
from icfqueue.pipeline.health.circuit_breaker import CircuitBreaker

HERE = Visit("study_1", "v1")
THERE = Visit("study_2", "v1")
URL = "https://user:hunter2@store.example.org/data"
CHOSEN = Settings(store_faults=3, store_pause=60.0, disk_pause=30.0)


class Breaker(CircuitBreaker):
    """A circuit breaker, asked about one visit of one store unless others are named."""

    def check(self, step: str = "fetch", visit: Visit = HERE, url: str = URL) -> None:
        self.raise_if_open(visit, step, url)

    def fail(self, error: StepError, visit: Visit = HERE) -> PutOff | None:
        return self.record_failure(visit, error, URL)

    def end_rest(self) -> None:
        self.ledger.notes.drop("rest:store.example.org")


@pytest.fixture
def breaker(ledger: RedisLedger) -> Breaker:
    return Breaker(ledger, CHOSEN)


@pytest.fixture
def first_asks(breaker: Breaker) -> Breaker:
    """The store failed, the rest is over, and one visit asks it."""
    for _ in range(3):
        breaker.fail(NetworkTrouble("x"))
    breaker.end_rest()
    breaker.check()
    return breaker


def test_without_trouble_every_step_may_begin(breaker: Breaker) -> None:
    breaker.check()
    breaker.check("index_tar")


def test_refused_access_holds_the_fetches_of_that_project_alone(breaker: Breaker) -> None:
    breaker.fail(AccessDenied("401 for study_1", hint="give a credential"))
    with pytest.raises(AccessDenied, match="401 for study_1") as found:
        breaker.check()
    assert found.value.hint == "give a credential"
    breaker.check("index_tar")
    breaker.check(visit=THERE)
    assert breaker.ledger.notes.ends_in("hold:study_1") == 0.0
    breaker.reset("study_1")
    breaker.check()


def test_a_visit_whose_record_names_another_store_holds_no_other(breaker: Breaker) -> None:
    """The project's own store has refused nothing."""
    for _ in range(5):
        breaker.fail(AccessDenied("401 of another store", elsewhere=True))
        breaker.check()


def test_one_visit_that_is_forbidden_holds_no_other(breaker: Breaker) -> None:
    """Nor do many, as long as the store gives one of the project now and then."""
    for _ in range(5):
        breaker.fail(AccessDenied("403 for v1", forbidden=True))
        breaker.fail(AccessDenied("403 for v2", forbidden=True))
        breaker.check()
        breaker.record_access("study_1")
    breaker.fail(NoRoom("too large, but given"))


def test_several_that_are_forbidden_in_a_row_hold_the_project(breaker: Breaker) -> None:
    for number in range(3):
        breaker.check()
        breaker.fail(AccessDenied(f"403 for v{number}", hint="ask them", forbidden=True))
    with pytest.raises(AccessDenied, match=r"3 visits in a row .* 403 for v2") as found:
        breaker.check()
    assert found.value.hint == "ask them"
    breaker.check(visit=THERE)
    breaker.reset("study_1")
    # From the beginning, so that each retry gets further than one visit.
    for _ in range(2):
        breaker.fail(AccessDenied("403", forbidden=True))
        breaker.check()


def test_a_store_that_kept_a_worker_waiting_is_left_alone_at_once(
    ledger: RedisLedger,
) -> None:
    """And half open after: one asks it, and others' failures are no visit's fault."""
    slow = NetworkTrouble("trickles", slow=True)
    breaker = Breaker(ledger, CHOSEN)
    assert breaker.fail(slow) is None
    with pytest.raises(PutOff, match="trickles"):
        breaker.check()
    breaker.check(url="https://other.example.org")
    breaker.end_rest()
    breaker.check()
    with pytest.raises(PutOff, match="another visit asks it first"):
        breaker.check(visit=THERE)
    assert isinstance(breaker.fail(slow), PutOff)
    assert ledger.notes.get("faults:store.example.org") == "4"


def test_a_full_disk_rests_every_step_of_every_project(breaker: Breaker) -> None:
    breaker.fail(DiskTrouble("no space left", hint="make room"))
    for visit in (HERE, THERE):
        for step in ("fetch", "export_repo", "cleanup"):
            with pytest.raises(PutOff) as found:
                breaker.check(step, visit)
            assert isinstance(found.value.cause, DiskTrouble)
            assert found.value.cause.step == step
            assert 29.0 < found.value.seconds <= 30.5


def test_a_busy_store_is_left_alone_for_as_long_as_it_asked(breaker: Breaker) -> None:
    breaker.fail(StoreBusy("503", retry_after=100.0))
    with pytest.raises(PutOff) as found:
        breaker.check()
    assert 99.0 < found.value.seconds <= 100.5
    breaker.check("index_tar")
    breaker.check(url="https://other.example.org")
    # Another project of the same store waits too.
    with pytest.raises(PutOff):
        breaker.check(visit=THERE, url="https://store.example.org/elsewhere")


@pytest.mark.parametrize(
    "error", [NetworkTrouble("reset"), StoreBusy("503"), StoreBusy("503", retry_after=0.0)]
)
def test_a_store_that_fails_again_and_again_is_left_alone_for_a_while(
    breaker: Breaker, error: StepError
) -> None:
    for _ in range(2):
        breaker.fail(error)
        breaker.check()
    breaker.fail(error)
    with pytest.raises(PutOff):
        breaker.check()
    breaker.end_rest()
    # After the rest one more fault is enough.
    breaker.fail(error)
    with pytest.raises(PutOff):
        breaker.check()


def test_after_the_rest_one_visit_asks_first_and_its_failure_does_not_count(
    breaker: Breaker,
) -> None:
    other = Visit("study_1", "v2")
    for _ in range(3):
        assert breaker.fail(NetworkTrouble("x")) is None
    for first in (HERE, other):
        breaker.end_rest()
        breaker.check(visit=first)
        with pytest.raises(PutOff, match="another visit asks it first") as found:
            breaker.check(visit=other if first == HERE else HERE)
        assert found.value.seconds <= circuit_breaker.SOON
        breaker.check("index_tar", other)
        put_off = breaker.fail(NetworkTrouble("x"), first)
        assert isinstance(put_off, PutOff)
        assert put_off.seconds == 60.5
        with pytest.raises(PutOff, match=r"^x$"):
            breaker.check(visit=first)
    breaker.end_rest()
    breaker.check()
    breaker.record_success(URL)
    breaker.check(visit=other)


def test_a_store_without_the_tarball_is_well(first_asks: Breaker) -> None:
    first_asks.fail(NotInStore("404"))
    first_asks.check(visit=THERE)


def test_a_visit_that_did_not_need_the_store_lets_another_ask(first_asks: Breaker) -> None:
    first_asks.release_probe(HERE, URL)
    first_asks.check(visit=THERE)
    with pytest.raises(PutOff):
        first_asks.check()


def test_only_the_visit_that_asks_first_lets_another_ask(first_asks: Breaker) -> None:
    """One that had nothing to do with the store does not let two ask at once."""
    first_asks.release_probe(THERE, URL)
    with pytest.raises(PutOff, match="another visit asks it first"):
        first_asks.check(visit=THERE)


def test_an_outage_of_more_than_a_day_counts(
    breaker: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visits that alone cannot be had do not wait for ever."""
    monkeypatch.setattr(circuit_breaker, "OUTAGE", 120.0)
    found = [breaker.fail(NetworkTrouble("x")) for _ in range(7)]
    assert [each is not None for each in found] == [False] * 3 + [True] * 2 + [False] * 2


def test_a_tarball_that_cannot_be_read_rests_nobody(breaker: Breaker) -> None:
    breaker.fail(DiskTrouble("Input/output error", full=False))
    breaker.check()


def test_a_tarball_that_does_not_fit_rests_nobody_and_its_store_is_well(
    first_asks: Breaker,
) -> None:
    """Others may fit; and the store told its size."""
    first_asks.fail(NoRoom("x", size=7))
    first_asks.check(visit=THERE)
    first_asks.check("index_tar")


def test_an_answer_of_the_store_ends_the_row_of_faults(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.fail(NetworkTrouble("reset"))
        breaker.fail(NetworkTrouble("reset"))
        breaker.record_success(URL)
    breaker.check()


@pytest.mark.parametrize("error", [BadTarball("x"), NotInStore("x"), NoRoom("x")])
def test_what_concerns_one_visit_is_not_noted(breaker: Breaker, error: StepError) -> None:
    for _ in range(5):
        breaker.fail(error)
    breaker.check()


def test_a_rest_ends_by_itself(breaker: Breaker) -> None:
    breaker.fail(StoreBusy("503", retry_after=0.1))
    time.sleep(0.15)
    breaker.check()


def test_no_password_of_a_store_url_becomes_a_key(
    breaker: Breaker, ledger: RedisLedger
) -> None:
    breaker.fail(StoreBusy("503", retry_after=100.0))
    for _ in range(3):
        breaker.fail(NetworkTrouble("reset"))
    names = list(ledger.client.scan_iter())
    assert names
    assert not [name for name in names if "hunter2" in name]


def test_a_tarball_that_is_here_asks_no_store_and_so_meets_none_of_its_troubles(
    breaker: Breaker,
) -> None:
    breaker.fail(AccessDenied("401"))
    breaker.fail(StoreBusy("503", retry_after=100.0))
    breaker.raise_if_open(HERE, "fetch", URL, here=True)
    with pytest.raises(AccessDenied):
        breaker.check()


def test_a_tarball_that_is_read_as_it_comes_meets_the_troubles_of_a_download(
    breaker: Breaker,
) -> None:
    breaker.fail(StoreBusy("503", retry_after=100.0))
    breaker.check("index_tar")
    with pytest.raises(PutOff, match="503"):
        breaker.raise_if_open(HERE, "index_tar", URL, here=False)


@pytest.mark.parametrize(
    "text",
    ["garbage", "", "[]", "{}", "1", '{"message": 1, "hint": ""}', "[" * 9000, "NaN"],
)
@pytest.mark.parametrize(
    "name",
    ["rest:disk", "rest:store.example.org", "hold:study_1", "faults:store.example.org"],
)
def test_a_note_that_means_nothing_holds_nobody_up(
    breaker: Breaker, name: str, text: str
) -> None:
    breaker.ledger.notes.put(name, text)
    breaker.check()
    if name.startswith("faults") and text == "1":
        return
    assert breaker.ledger.notes.get(name) is None


@pytest.mark.parametrize(
    ("name", "seconds"), [("rest:disk", 30.5), ("rest:store.example.org", 60.5)]
)
def test_a_rest_without_an_end_gets_one(
    breaker: Breaker, name: str, seconds: float
) -> None:
    breaker.ledger.notes.put(name, '{"message": "of a stranger", "hint": ""}')
    with pytest.raises(PutOff) as found:
        breaker.check()
    assert found.value.seconds == seconds
    assert 0.0 < breaker.ledger.notes.ends_in(name) < seconds
