"""Every table fits the terminal, from 60 columns to 300, with whole ids and errors.

A real terminal is looked at, on a store with ids of 64 characters, long errors, wide signs
and many visits.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from rich.cells import cell_len
from support.commands import Icfqueue
from support.metadata import write_metadata
from support.records import a_record, failed_with
from support.terminals import sent_to_a_terminal
from support.valkey import Valkey

from icfqueue.catalog import study
from icfqueue.core.errors import BadTarball
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.record import State
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.ledger.roster import JobSign, Sign
from icfqueue.store.directory import Store

WIDTHS = (60, 80, 100, 200, 300)

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

PLAIN = {"NO_COLOR": "", "FORCE_COLOR": ""}
"""An empty variable is as none."""

PROJECT = "study_of_" + "brains_" * 7 + "64chrs"
assert len(PROJECT) == 64

FAILED = [f"sub-{number:02}_" + "x" * 57 for number in range(8)]
SHORT = [f"sub-{number:02}" for number in range(10, 50)]
assert {len(name) for name in FAILED} == {64}

WORKER = "a-node-of-a-cluster-with-a-long-name.example.org:1234567"

DESCRIPTION = "T1w 脑部三维磁化准备快速梯度回波序列 MPRAGE with a long name"


def cut(name: str) -> str:
    return (
        f"{PROJECT}/{name}_dicom.tar ends after 4194304 bytes, within the member "
        f"{name}/MR1/脑部三维磁化准备快速梯度回波/{'9' * 40}.dcm, of which the header "
        "promises 8388608 bytes; the tarball was probably not copied to its end 档案结束"
    )


@dataclass(frozen=True)
class Shown:
    """A command, and what must stand in what it prints."""

    words: tuple[str, ...]
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


EVERY = (*FAILED, *SHORT)
ERRORS = tuple(map(cut, FAILED))
COMMANDS = {
    "status": Shown(("status",), (PROJECT,)),
    "status of a project": Shown(("status", PROJECT), (PROJECT, FAILED[0]), (ERRORS[0],)),
    "status of all visits": Shown(("status", PROJECT, "--all"), EVERY, ERRORS),
    "status of a cause": Shown(
        ("status", PROJECT, "--cause", "cut"), tuple(FAILED), ERRORS
    ),
    "status of a visit": Shown(("status", PROJECT, FAILED[3]), (FAILED[3],), (ERRORS[3],)),
    "workers": Shown(("workers",), (WORKER, f"{PROJECT}/{FAILED[0]}"), ("1 idle",)),
    "config": Shown(("config", "show"), ("least_rate", "ICFQUEUE_STORE_URL")),
    "doctor": Shown(("doctor",), (), ("store URL: http://127.0.0.1:9",)),
    "doctor --fleet": Shown(("doctor", "--fleet"), (WORKER,)),
    "verify": Shown(("verify", PROJECT, "--audit-only"), EVERY, ERRORS),
    "series": Shown(("series", PROJECT), tuple(FAILED), (DESCRIPTION,)),
    "find": Shown(
        ("find", "images > 1"),
        (
            PROJECT,
            *FAILED,
            *(
                f"icfqueue clone {PROJECT} {name} --store-url http://127.0.0.1:9"
                for name in FAILED
            ),
        ),
    ),
    "run --dry-run": Shown(
        ("run", PROJECT, "--dry-run"), EVERY, ("failed at fetch before",)
    ),
    "enqueue --dry-run": Shown(
        ("enqueue", PROJECT, "--dry-run"), EVERY, ("under way: running at fetch",)
    ),
    "reconcile": Shown(("reconcile", PROJECT), (PROJECT,)),
}


@pytest.fixture(scope="module")
def icfqueue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Icfqueue]:
    folder = tmp_path_factory.mktemp("widths") / "store"
    (folder / PROJECT).mkdir(parents=True)
    with Valkey() as broker:
        ledger = RedisLedger(broker.client())
        _fill(Store(folder), ledger)
        more = {
            "ICFQUEUE_BROKER_URL": broker.url,
            "ICFQUEUE_STORE_URL": "http://127.0.0.1:9",
        }
        ends = threading.Event()
        alive = threading.Thread(target=_live, args=(ledger, ends))
        alive.start()
        yield Icfqueue(folder, more)
        ends.set()
        alive.join()


def _fill(store: Store, ledger: RedisLedger) -> None:
    failed = [Visit(PROJECT, name) for name in FAILED]
    found = [failed_with(one, BadTarball(cut(one.id), cause="cut")) for one in failed]
    states = [State.DONE, State.RUNNING, State.QUEUED, State.WAITING]
    for number, name in enumerate(SHORT):
        state = states[number % len(states)]
        found.append(replace(a_record(state), visit=Visit(PROJECT, name)))
    assert all(ledger.put_many([(None, one) for one in found]))
    for one in failed:
        write_metadata(store, one, SeriesDescription=DESCRIPTION, SeriesNumber=1)
    study.add_visits(store, PROJECT, failed, "https://x", Settings(store_dir=store.root))


def _live(ledger: RedisLedger, ends: threading.Event) -> None:
    """Say that the worker lives, until the end: after half a minute it would be gone."""
    now = ledger.now()
    job = JobSign(
        project=PROJECT, visit=FAILED[0], step="fetch", since=now, bytes=2_500_000
    )
    sign = Sign(
        name=WORKER,
        host=WORKER.partition(":")[0],
        pid=1234567,
        since=now - 7260,
        processes=3,
        queues=("fetch", "index"),
        disk_free=5_000_000_000,
        jobs=(job, job),
    )
    ledger.roster.say(sign)
    while not ends.wait(2):
        ledger.roster.say(sign)


def without_blanks(text: str) -> str:
    return "".join(text.split())


def fits(line: str, width: int) -> bool:
    """Return whether a line has room, or is one thing that is not to be torn apart."""
    return cell_len(line) <= width or " " not in line.strip() or "icfqueue " in line


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal_and_ids_and_errors_are_whole(
    icfqueue: Icfqueue, name: str, width: int
) -> None:
    """An id or a command that is longer than a line has it to itself: it can be copied."""
    asked = COMMANDS[name]
    sent = sent_to_a_terminal(["icfqueue", *asked.words], icfqueue.environment, width)
    shown = ESCAPE.sub("", sent)
    assert "Traceback" not in shown
    lines = shown.splitlines()
    assert not [line for line in lines if not fits(line, width)]
    assert not [line for line in lines if line != line.rstrip()]
    assert not [one for one in asked.ids if not any(one in line for line in lines)]
    said = without_blanks(shown)
    assert not [text for text in asked.texts if without_blanks(text) not in said]


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colours_are_as_the_environment_wishes(
    icfqueue: Icfqueue, environment: dict[str, str], coloured: bool
) -> None:
    """In tables, in findings and in errors alike; without colours nothing is escaped."""
    for words in (("status", PROJECT), ("doctor",), ("status", "no_such_study")):
        sent = sent_to_a_terminal(
            ["icfqueue", *words], PLAIN | icfqueue.environment | environment
        )
        assert ("\x1b[" in sent) is coloured, words


def test_a_pipe_has_colours_if_they_are_forced_and_no_line_is_broken(
    icfqueue: Icfqueue,
) -> None:
    for words in (("status", PROJECT, "--all"), ("doctor",), ("status", "no_such_study")):
        plain, forced = icfqueue(*words), icfqueue(*words, FORCE_COLOR="1")
        assert "\x1b" not in plain.stdout + plain.stderr
        assert "\x1b[" in forced.stdout + forced.stderr
        # Room on the disk may differ by then.
        same = [re.sub(r"\d", "", ESCAPE.sub("", one.stdout)) for one in (forced, plain)]
        assert same[0] == same[1]
    said = icfqueue("status", PROJECT, "--all").stdout.splitlines()
    assert f"  cut: {ERRORS[0]}" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_verbose_says_where_all_is_beside_what_is_printed(
    icfqueue: Icfqueue, name: str
) -> None:
    said = icfqueue(*COMMANDS[name].words, "-v").stderr
    where = "settings files: " if name == "config" else f"store directory {icfqueue.store}"
    assert where in said


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_prints_nothing_but_warnings_and_errors(
    icfqueue: Icfqueue, name: str
) -> None:
    assert icfqueue(*COMMANDS[name].words, "-q").stdout == ""
