"""Running git and git-annex: isolation, failures, streaming, being ended from outside."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.guards import MindingGuard
from support.waiting import wait_until

from icfqueue.core.errors import Cancelled, DiskTrouble, PermanentError, ToolFailed
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.processes.groups import end_group
from icfqueue.dataset import programs

Program = Callable[[str, str], None]
VERSION = ["git", "version"]


def test_neither_user_nor_caller_nor_host_configures_git(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[core]\n\tcompression = 0\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.compression")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "0")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    shown = programs.run(["git", "config", "--list"], repo=repo, guard=UNGUARDED)
    assert b"repositoryformatversion" in shown
    assert b"compression" not in shown


def test_programs_know_one_repository_and_ask_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_WORK_TREE", "/elsewhere")
    found = programs.environment(in_repository=True)
    assert found["GIT_DIR"] == "."  # where they run: a path could lead elsewhere
    assert found["GIT_TERMINAL_PROMPT"] == "0"
    assert found["LC_ALL"] == "C.UTF-8"
    assert "GIT_WORK_TREE" not in found
    assert "GIT_DIR" not in programs.environment()


def test_programs_beside_python_are_found_first_and_without_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that was started by its absolute path has no environment's folder there."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert programs.search_path().split(os.pathsep)[1:] == ["/usr/bin", "/bin"]
    found = Path(programs.find_program("git-annex"))
    assert found.parent == Path(sys.executable).parent
    monkeypatch.delenv("PATH")
    assert Path(programs.find_program("git-annex")) == found


def test_a_missing_program_is_named_with_the_remedy(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with pytest.raises(PermanentError, match="git is not installed"):
        programs.run(VERSION, repo=repo, guard=UNGUARDED)
    with pytest.raises(PermanentError, match="not installed") as caught:
        programs.find_program("git-annex")
    assert "pip install git-annex" in caught.value.hint


def test_a_repository_that_is_gone_is_no_missing_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        programs.run(VERSION, repo=tmp_path / "gone", guard=UNGUARDED)


def test_a_failure_carries_exit_code_and_the_end_of_stderr(
    repo: Path, program: Program
) -> None:
    program("git", "head -c 300000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 7")
    with pytest.raises(
        ToolFailed, match=r"git version failed, exit code 7: x+END$"
    ) as caught:
        programs.run(VERSION, repo=repo, guard=UNGUARDED)
    assert len(caught.value.message) < programs.TAIL + 100


def test_a_full_disk_under_git_is_disk_trouble(repo: Path, program: Program) -> None:
    program("git", "echo 'fatal: write error: No space left on device' >&2; exit 128")
    with pytest.raises(DiskTrouble, match="No space left"):
        programs.run(VERSION, repo=repo, guard=UNGUARDED)


def test_a_program_is_fed_and_what_it_says_is_returned(
    repo: Path, program: Program, tmp_path: Path
) -> None:
    """More than a pipe holds, either way."""
    program("git", f"cat > {tmp_path / 'fed'}")
    chunks = [b"x" * 100_000, b"y" * 100_000]
    programs.feed(VERSION, iter(chunks), repo=repo, guard=UNGUARDED)
    assert (tmp_path / "fed").read_bytes() == b"".join(chunks)
    program("git", f"cat {tmp_path / 'fed'}; echo warning >&2")
    found = programs.run(VERSION, repo=repo, guard=UNGUARDED)
    assert found == b"".join(chunks)


def test_what_the_maker_of_a_stream_raises_ends_the_program(
    repo: Path, program: Program
) -> None:
    program("git", "cat > /dev/null; sleep 60")
    guard = MindingGuard()

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise Cancelled("called off")

    with pytest.raises(Cancelled):
        programs.feed(VERSION, broken(), repo=repo, guard=guard)
    assert guard.running == []
    with pytest.raises(ProcessLookupError):
        os.kill(guard.seen[0], 0)


def test_a_program_that_is_ended_from_outside_is_a_failure_that_says_so(
    repo: Path, program: Program
) -> None:
    program("git", "sleep 60 & wait")
    guard = MindingGuard()

    def kill() -> None:
        wait_until(lambda: guard.running, 20, "it runs")
        end_group(guard.running[0])

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ToolFailed, match="killed by signal 9"):
        programs.run(VERSION, repo=repo, guard=guard)
    killer.join()


def test_a_program_reads_and_writes_more_than_a_pipe_holds(repo: Path) -> None:
    """Both at the same time; else it and we would wait for each other."""
    names = b"master\n" * 40_000
    said = programs.run(
        ["git", "cat-file", "--batch-check"], repo=repo, guard=UNGUARDED, stdin=names
    )
    assert said == b"master missing\n" * 40_000
