"""Lines of visits, and all that is known of one."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from support.records import NOW, a_record, failed_with

from icfqueue.cli.display.terminal import show
from icfqueue.cli.display.visits import add_visits, visit_alone, visit_columns
from icfqueue.core.errors import BadTarball, TarballChanged
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Unreadable
from icfqueue.ledger.record import Record, State

V = Visit("study_1", "v")


def table(
    *found: Record | Unreadable, width: int = 120, dealt: int = 0, errors: bool = True
) -> list[str]:
    made = visit_columns()
    progress = {state.value: (dealt, 0) for state in State}
    add_visits(made, found, now=NOW + 3, progress=progress, errors=errors)
    return printed(made, width)


def printed(what: object, width: int = 120) -> list[str]:
    where = io.StringIO()
    console = Console(file=where, width=width, force_terminal=True, color_system=None)
    show(console, what)  # type: ignore[arg-type]  # anything that rich can print
    return [line.rstrip() for line in where.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120, 200, 300])
def test_visits_in_every_state_fit(width: int) -> None:
    long = replace(a_record(State.DONE), visit=Visit("study_1", "sub-" + "x" * 30))
    lines = table(*(a_record(state) for state in State), long, width=width)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("sub-" + "x" * 30 + "  done") for line in lines)
    assert '  damaged: member x, "y" is cut' in lines
    assert ("worker" in lines[0]) is (width > 100)


def test_what_waits_has_the_time_of_its_next_try_and_what_runs_how_far_it_is() -> None:
    (heads, waiting, error) = table(a_record(State.WAITING))
    assert "next try" in heads
    assert "in 9.0 s" in waiting
    assert error == "  network: reset"
    (heads, running) = table(a_record(State.RUNNING), dealt=40_000)
    assert "so far" in heads
    assert "40.0 kB" in running
    assert "so far" not in table(a_record(State.DONE), dealt=40_000)[0]


def test_errors_may_be_left_out() -> None:
    assert len(table(a_record(State.FAILED), errors=False)) == 2


def test_a_record_that_cannot_be_read_says_so_and_what_to_do() -> None:
    lines = table(Unreadable(V, "1", "no JSON"))
    assert lines[1:] == [
        "v      unreadable",
        "  its record cannot be read: no JSON",
        "  `icfqueue forget study_1 v`",
    ]


def test_one_visit_has_its_error_whole_with_what_it_means_and_what_to_do() -> None:
    message = "x " * 300 + "END"
    said = printed(visit_alone(failed_with(V, BadTarball(message, cause="cut"))), 80)
    assert any(line.endswith("END") for line in said)
    assert "cut: the tarball ends too early  (permanent BadTarball in fetch)" in said
    assert said[-1].endswith("`icfqueue retry study_1 v`")
    other = printed(visit_alone(failed_with(V, BadTarball("x", hint="get it again"))))
    assert other[-2:] == ["get it again", "then: icfqueue retry study_1 v"]
    changed = printed(visit_alone(failed_with(V, TarballChanged("other bytes"))))
    assert not [line for line in changed if line.startswith("then: ")]


def test_times_follow_one_another_after_a_retry_too() -> None:
    """Also where a release before this one kept the first begin."""
    failed = failed_with(V, BadTarball("x"))
    again = record.resumed(failed, NOW + 60)
    done = record.claimed(again, "t", "w", NOW + 70)
    assert heads(done) == ["queued", "started"]
    assert heads(again) == ["queued"]
    older = replace(done, started_at=NOW)
    assert heads(older) == ["first started", "queued again"]
    for shown in (done, older):
        times = re.findall(r"\d{4}-\d\d-\d\dT\S+", " ".join(printed(visit_alone(shown))))
        assert times == sorted(times)


def heads(found: Record) -> list[str]:
    """The names of the times that are shown of a visit."""
    lines = printed(visit_alone(found))
    names = [re.match(r"(.*?)  +\d{4}-\d\d-\d\dT", line) for line in lines]
    return [name[1] for name in names if name]


def test_one_visit_has_its_size_exactly() -> None:
    found = replace(a_record(State.DONE), tar_bytes=40_960)
    assert "tarball               41.0 kB (40960 bytes)" in printed(visit_alone(found))
    assert "tarball               100 bytes" in printed(visit_alone(a_record(State.DONE)))
    streamed = replace(found, streamed=True)
    assert "tarball               41.0 kB (40960 bytes) streamed" in printed(
        visit_alone(streamed)
    )


def test_an_error_of_an_older_release_has_its_class_for_a_cause() -> None:
    found = failed_with(V, BadTarball("x", hint=""))
    error = dict(found.error or {})
    del error["cause"]
    assert "  BadTarball: x" in table(replace(found, error=error))
    assert printed(visit_alone(replace(found, error=error)))[-2] == "x"


def test_a_visit_that_tells_who_a_person_is_is_flagged() -> None:
    found = Identifiers(12, 1, ("name", "birth-date"), "ada", NOW)
    done = replace(a_record(State.DONE), identifiers=found)
    said = "in 12 paths and 1 tag (name, birth date), accepted by ada at 2023-11-14T22"
    assert f"  identifiers: {said}:13:20.250+00:00" in table(done)
    assert any(said in line for line in printed(visit_alone(done), 200))
    nobody = replace(done, identifiers=Identifiers())
    assert "identifiers" not in "".join(table(nobody) + printed(visit_alone(nobody)))
