"""``icfqueue status``: every form, and what is no answer at all."""

from __future__ import annotations

import csv
import io
import json
import shlex

import click
import pytest
from msgspec import structs
from support.command_line import Commands
from support.records import a_record, troubled_project
from support.schema import check_status

from icfqueue.cli import tables
from icfqueue.cli.commands import status as command
from icfqueue.core.errors import NothingYet, UsageError
from icfqueue.core.steps import QUEUES
from icfqueue.ledger.record import State
from icfqueue.ledger.roster import Sign
from icfqueue.store.directory import Store


@pytest.fixture
def icfqueue(icfqueue: Commands) -> Commands:
    """A project with one visit in each state."""
    icfqueue.ledger.put_many([(None, a_record(state)) for state in State])
    return icfqueue


def test_states_offered_are_those_of_the_records() -> None:
    """They are spelt out, so that help need not import the records."""
    assert tuple(State) == command.STATES


def test_json_has_the_documented_form(icfqueue: Commands) -> None:
    done = icfqueue("status", "study_1", "--format", "json")
    found = json.loads(done.out)
    check_status(found)
    assert (done.code, len(found["visits"])) == (1, 6)
    alone = json.loads(icfqueue("status", "study_1", "done", "--format", "json").out)
    assert alone in found["visits"]
    (line,) = json.loads(icfqueue("status", "--format", "json").out)
    assert line["project"] == "study_1"


def test_csv_has_a_line_for_each_visit(icfqueue: Commands) -> None:
    done = icfqueue("status", "study_1", "--format", "csv", "--state", "done")
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert (row["visit"], row["dicoms"], done.code) == ("done", "3", 0)


def test_the_table_has_them_all(icfqueue: Commands) -> None:
    done = icfqueue("status", "study_1")
    assert done.code == 1
    for state in State:
        assert state.value in done.out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 1),
        (("study_1",), 1),
        (("study_1", "done"), 0),
        (("study_1", "failed"), 1),
        (("study_1", "--state", "queued"), 0),
        (("study_1", "--state", "failed"), 1),
    ],
)
def test_it_ends_with_1_if_a_visit_that_is_shown_failed(
    icfqueue: Commands, words: tuple[str, ...], code: int
) -> None:
    assert icfqueue("status", *words).code == code


def test_work_without_a_worker_is_told_of(icfqueue: Commands) -> None:
    """On standard error, so that no program reads it; not where a worker lives."""
    for words in (("status",), ("status", "study_1", "--format", "json")):
        err = icfqueue(*words).err
        where = shlex.join(icfqueue.where)
        assert err == (
            f"No worker is running: start `icfqueue worker {where}`, or use `icfqueue run "
            f"study_1 {where}`.\n"
        )
    icfqueue.ledger.roster.say(Sign(name="host:1", host="host", pid=1, since=0.0))
    assert icfqueue("status").err == ""
    icfqueue.ledger.roster.gone("host:1")
    icfqueue.ledger.worker_lives("of-an-older-release:1")
    assert icfqueue("status").err == ""


def serve(icfqueue: Commands, *queues: str) -> None:
    """Let one worker live, which serves some queues."""
    sign = Sign(name="host:1", host="host", pid=1, since=0.0, queues=queues)
    icfqueue.ledger.roster.say(sign)


def test_a_queue_that_no_worker_serves_is_told_of_where_visits_wait_in_it(
    icfqueue: Commands,
) -> None:
    where = shlex.join(icfqueue.where)
    for words in (("status",), ("status", "study_1")):
        serve(icfqueue, "index")
        assert icfqueue(*words).err == (
            "No worker serves the queue fetch, in which visits wait: start "
            f"`icfqueue worker --queues fetch {where}`.\n"
        )
        serve(icfqueue, "fetch")
        assert icfqueue(*words).err == ""


def test_workers_that_would_write_other_deposits_are_told_of(icfqueue: Commands) -> None:
    """For as long as they live; on standard error, so that no program reads it."""
    for number in (1, 2):
        sign = Sign(name=f"n{number}:1", host=f"n{number}", pid=1, since=0.0)
        sign = structs.replace(sign, queues=QUEUES, sample=f"{number}" * 64)
        icfqueue.ledger.roster.say(sign)
    first, second = icfqueue("status", "study_1").err.splitlines()
    assert first.startswith("Workers differ: sample 11111111 on n1:1; sample 22222222 on")
    assert "doctor --fleet" in second
    icfqueue.ledger.roster.gone("n2:1")
    assert icfqueue("status", "study_1").err == ""


def test_unknown_projects_and_visits_are_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(UsageError, match="nothing of project study1") as caught:
        icfqueue("status", "study1")
    assert "did you mean study_1?" in caught.value.hint
    with pytest.raises(UsageError, match="study_1/none was never enqueued"):
        icfqueue("status", "study_1", "none")
    with pytest.raises(UsageError, match="study_1/faild was never") as caught:
        icfqueue("status", "study_1", "faild")
    assert "did you mean failed?" in caught.value.hint


def ids(table: str) -> list[str]:
    """Return the first words of a table's lines, those of counts and heads left out."""
    return [line.split()[0] for line in table.splitlines()[2:] if line[:1].strip()]


def test_visits_are_chosen_by_their_cause_in_every_form(icfqueue: Commands) -> None:
    put = troubled_project("study_2", done=3, failed=20)
    icfqueue.ledger.put_many([(None, each) for each in put])
    words = ("status", "study_2", "--cause", "gzip")
    done = icfqueue(*words)
    assert (done.code, ids(done.out)) == (1, ["sub-0015"])
    assert "  gzip: study_2/sub-0015_dicom.tar is compressed" in done.out
    found = json.loads(icfqueue(*words, "--format", "json").out)
    check_status(found)
    assert [visit["error"]["cause"] for visit in found["visits"]] == ["gzip"]
    (row,) = csv.DictReader(io.StringIO(icfqueue(*words, "--format", "csv").out))
    assert (row["visit"], row["error_cause"]) == ("sub-0015", "gzip")
    both = icfqueue(*words, "--cause", "network")
    assert ids(both.out) == ["sub-0007", "sub-0015"]
    none = icfqueue(*words, "--state", "waiting")
    told = "no visit of study_2 is waiting because of 'gzip', nor for another cause"
    assert (none.code, told in none.out) == (0, True)


def test_a_cause_that_is_none_is_wrong_usage(icfqueue: Commands) -> None:
    with pytest.raises(click.BadParameter, match="did you mean 'network'"):
        icfqueue("status", "study_1", "--cause", "netwrk")
    with pytest.raises(click.BadParameter, match=r"known: cut, damaged, .*, no-room"):
        icfqueue("status", "study_1", "--cause", "xyz")


@pytest.mark.parametrize("words", [("--cause", "cut"), ("--all",)])
def test_what_is_about_visits_needs_a_project(
    icfqueue: Commands, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="of one project"):
        icfqueue("status", *words)


def test_several_visits_are_listed_and_one_is_shown_whole(icfqueue: Commands) -> None:
    done = icfqueue("status", "study_1", "*ing", "done")
    assert (done.code, ids(done.out)[:3]) == (0, ["done", "running", "waiting"])
    # The form depends on the question, not on how many there are.
    assert ids(icfqueue("status", "study_1", "fai*").out)[:1] == ["failed"]
    found = json.loads(icfqueue("status", "study_1", "q*", "--format", "json").out)
    assert [visit["visit"] for visit in found["visits"]] == ["queued"]
    with pytest.raises(UsageError):
        icfqueue("status", "study_1", "x*")
    with pytest.raises(UsageError, match="study_1/none was never enqueued"):
        icfqueue("status", "study_1", "done", "none")


def test_a_long_project_is_told_in_25_lines_and_listed_if_that_is_asked(
    icfqueue: Commands,
) -> None:
    put = troubled_project("study_2")
    icfqueue.ledger.put_many([(None, each) for each in put])
    done = icfqueue("status", "study_2")
    assert done.code == 1
    assert len(done.out.splitlines()) <= 25
    assert "445 \u00d7 cut, e.g. sub-0001: obtain the tarball again" in done.out
    assert "icfqueue status study_2 --all" in done.out
    assert len(ids(icfqueue("status", "study_2", "--all").out)) == 2000
    assert len(ids(icfqueue("status", "study_2", "--state", "done").out)) == 1492


@pytest.mark.parametrize(
    "words",
    [("--watch", "--wait"), ("--watch", "--format", "json"), ("--watch", "--format=csv")],
)
def test_what_cannot_be_watched_is_wrong_usage(
    icfqueue: Commands, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="--watch"):
        icfqueue("status", *words)


def test_watching_is_the_tables_own(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def watch(_: object, *what: object) -> int:
        asked.append(what)
        return 0

    monkeypatch.setattr(tables, "watch", watch)
    icfqueue("status", "study_1", "--watch", "--state", "failed")
    wanted = tables.Question("study_1", None, "failed", ())
    assert asked == [(wanted, command.LOOK_AGAIN)]


def impatient(icfqueue: Commands, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Miss workers at once, and have all cancelled at the third look; return the pauses."""
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            icfqueue("cancel", "study_1")

    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command, "PATIENCE", 0.0)
    return looks


def test_waiting_ends_when_nothing_is_left_and_misses_workers_once(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = impatient(icfqueue, monkeypatch)
    done = icfqueue("status", "study_1", "--wait")
    assert looks == [command.LOOK_AGAIN] * 3
    assert done.err.count("No worker is running") == 1
    assert "4 cancelled" in done.out


def test_waiting_misses_a_worker_for_a_queue_once(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(icfqueue, monkeypatch)
    serve(icfqueue, "index")
    done = icfqueue("status", "study_1", "--wait")
    assert done.err.count("No worker serves the queue fetch") == 1


def test_waiting_gives_a_worker_that_was_just_started_time_to_show_itself(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        icfqueue("cancel", "study_1")

    monkeypatch.setattr(command.time, "sleep", sleep)
    done = icfqueue("status", "study_1", "--wait")
    assert "4 cancelled" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("form", "said"), [("json", "[]\n"), ("csv", "\n"), ("table", "nothing was ever")]
)
def test_no_project_at_all_is_an_answer_in_every_form(
    icfqueue: Commands, tmp_path_factory: pytest.TempPathFactory, form: str, said: str
) -> None:
    """And leaves no trace in a folder that is no store."""
    store = Store(tmp_path_factory.mktemp("empty"))
    where = ("--store-dir", str(store.root))
    done = icfqueue.plain("status", "--format", form, *where)
    assert done.code == 0
    assert done.out.startswith(said)
    with pytest.raises(NothingYet):
        icfqueue.plain("status", "study_1", *where)
    assert list(store.root.iterdir()) == []
