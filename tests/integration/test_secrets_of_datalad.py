"""What ``git`` is told wherever DataLad starts it: a whole run and a proof, watched.

A ``git`` that comes first in ``PATH`` writes down what it was given and by whom it was
started, and then is the real one. The broker is a real one with a password, on TCP, and
so is the store on the web; DataLad knows the store's password from the environment.
"""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.commands import BIN, Icfqueue
from support.credentials import login_of
from support.faulty_store import FaultyStore
from support.valkey import Valkey

from icfqueue.demo.visits import build_project

BROKER, STORE = "broker-hunter2", "store-hunter2"
PROJECT = "study_1"

WATCHING = """#!/bin/sh
to={folder}/$$
{{
    tr '\\0' '\\n' < /proc/$$/environ
    place=$$
    while [ "$place" -gt 1 ]; do
        printf 'started by: '; tr '\\0\\n' '  ' < /proc/$place/cmdline; echo
        place=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$place/status)
    done
}} > $to.new 2>/dev/null
mv $to.new $to.told
exec {git} "$@"
"""


@dataclass
class Watched:
    """The command, whose ``git`` is watched."""

    icfqueue: Icfqueue
    seen: Path

    def told(self) -> list[str]:
        """Return what each ``git`` was given since the last question."""
        found = sorted(self.seen.glob("*.told"))
        texts = [path.read_text(errors="replace") for path in found]
        for path in found:
            path.unlink()
        return texts


def watched(tmp_path: Path, broker: dict[str, str], web: FaultyStore) -> Watched:
    seen, programs, store = (tmp_path / name for name in ("seen", "programs", "store"))
    for folder in (seen, programs, store):
        folder.mkdir()
    git = shutil.which("git")
    (programs / "git").write_text(WATCHING.format(folder=seen, git=git))
    (programs / "git").chmod(0o755)
    environment = {
        "ICFQUEUE_STORE_URL": web.url,
        "ICFQUEUE_CREDENTIAL": "icf",
        **login_of(web, name="icf"),
        **broker,
    }
    icfqueue = Icfqueue(store, environment)
    path = icfqueue.environment["PATH"].removeprefix(f"{BIN}:")
    # The commands put this Python's own programs first; git is none of them.
    icfqueue.environment["PATH"] = f"{programs}:{BIN}:{path}"
    return Watched(icfqueue, seen)


def assert_silent(told: list[str], *, but: str | None = None) -> None:
    """No git was told a secret; the store's only below the program named."""
    assert told, "no git was started: this test sees nothing"
    for text in told:
        started_by = [line for line in text.splitlines() if line.startswith("started by")]
        chain = "\n".join(started_by)
        assert BROKER not in text, chain
        assert "ICFQUEUE_BROKER" not in text, chain
        if but is None or but not in chain:
            assert STORE not in text, chain


@pytest.mark.parametrize("way", ["variables", "address", "option"])
def test_no_git_of_a_run_is_told_a_password(tmp_path: Path, way: str) -> None:
    """However the broker's is given; its workers get it all the same, or did nothing."""
    build_project(tmp_path / "web", PROJECT, 1)
    with (
        Valkey(password=BROKER, tcp=True) as server,
        FaultyStore(tmp_path / "web", password=STORE) as web,
    ):
        given = {"address": {"ICFQUEUE_BROKER_URL": server.url}, "option": {}}
        command = watched(tmp_path, given.get(way, by_variables(server)), web)
        option = ["--broker", server.url] if way == "option" else []
        run = ["run", PROJECT, "--remote", "--jobs", "1"]
        assert "1 done" in command.icfqueue.good(*run, *option)
        assert_silent(command.told())


def test_of_a_proof_only_what_downloads_is_told_the_stores_password(tmp_path: Path) -> None:
    """What ``datalad get`` starts: it logs in for that. And so of ``doctor``."""
    build_project(tmp_path / "web", PROJECT, 1)
    with (
        Valkey(password=BROKER, tcp=True) as server,
        FaultyStore(tmp_path / "web", password=STORE) as web,
    ):
        command = watched(tmp_path, by_variables(server), web)
        icfqueue = command.icfqueue
        icfqueue.good("run", PROJECT, "--remote", "--jobs", "1")
        command.told()

        icfqueue.good("verify", PROJECT, "--sample", "1")
        told = command.told()
        assert_silent(told, but="datalad get")
        # That one needs it, and has it.
        assert any(STORE in text for text in told)

        icfqueue.good("doctor", "--project", PROJECT)
        assert_silent(command.told())


def by_variables(server: Valkey) -> dict[str, str]:
    """Return the variables that name the broker, the password in one of its own."""
    bare = server.url.replace(f":{BROKER}@", "")
    assert bare != server.url
    return {"ICFQUEUE_BROKER_URL": bare, "ICFQUEUE_BROKER_PASSWORD": BROKER}


def test_no_git_of_a_worker_is_told_a_password(tmp_path: Path) -> None:
    build_project(tmp_path / "web", PROJECT, 1)
    log = tmp_path / "log"
    with (
        Valkey(password=BROKER, tcp=True) as server,
        FaultyStore(tmp_path / "web", password=STORE) as web,
    ):
        command = watched(tmp_path, by_variables(server), web)
        worker = command.icfqueue.start("worker", "--concurrency", "1", log=log)
        try:
            command.icfqueue.good("enqueue", PROJECT, "--remote")
            told = command.icfqueue.good("status", PROJECT, "--wait")
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
        assert "1 done" in told, log.read_text()
        assert_silent(command.told())
