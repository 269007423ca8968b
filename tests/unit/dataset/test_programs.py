"""Running git and git-annex: isolation, failures, streaming, being ended from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.datasets import git
from support.waiting import wait_until

from icfqueue.core.errors import (
    BadTarball,
    Cancelled,
    DiskTrouble,
    PermanentError,
    ToolFailed,
)
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.process_groups import end_group
from icfqueue.dataset import annex_keys, programs, repository
from icfqueue.dataset.annex_keys import KeySource, WantedKey

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


class Minding(Guard):
    """Remembers what runs, and calls the work off after some safe points."""

    def __init__(self, until: int = 1 << 30) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        self.seen: list[int] = []
        self.until = until

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:  # noqa: ARG002
        self.until -= 1
        if self.until < 0:
            raise Cancelled("called off")

    @contextmanager
    def minding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        self.running.append(process)
        self.seen.append(process.pid)
        try:
            with super().minding(process):
                yield
        finally:
            self.running.remove(process)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository.make_bare(tmp_path / "repo")


@pytest.fixture
def program_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs are found first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    real = programs.search_path()
    monkeypatch.setattr(programs, "search_path", lambda: f"{folder}{os.pathsep}{real}")
    return folder


def put_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def wanted(count: int) -> list[WantedKey]:
    return [WantedKey(n, MD5, b"folder/%d.dcm" % n) for n in range(count)]


def test_a_bare_repository_is_what_git_init_makes(repo: Path, tmp_path: Path) -> None:
    """Same configuration and branch, and git takes it for one."""
    init = ["init", "-q", "--bare", "--template=", "--initial-branch=master", "made"]
    git(tmp_path, *init)
    for name in ("HEAD", "config"):
        assert (repo / name).read_bytes() == (tmp_path / "made" / name).read_bytes()
    out = programs.run(
        ["git", "rev-parse", "--is-bare-repository"], repo=repo, guard=UNGUARDED
    )
    assert out == b"true\n"


def test_neither_user_nor_caller_nor_host_configures_git(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[core]\n\tcompression = 0\n[annex]\n\tmaxextensionlength = 1\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.compression")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "0")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    shown = programs.run(["git", "config", "--list"], repo=repo, guard=UNGUARDED)
    assert b"compression" not in shown
    with KeySource() as keys:
        [key] = keys.keys([WantedKey(1, MD5, "ü.dcm".encode())], UNGUARDED)
    assert key.name == f"MD5E-s1--{MD5}.dcm".encode()


def test_git_annex_is_found_beside_python_without_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker started by its absolute path has no environment's folder in PATH."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with KeySource() as keys:
        assert len(list(keys.keys(wanted(2), UNGUARDED))) == 2


def test_a_missing_program_is_named_with_the_remedy(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with KeySource() as keys, pytest.raises(PermanentError, match="git-annex") as caught:
        list(keys.keys(wanted(1), UNGUARDED))
    assert "pip install git-annex" in caught.value.hint
    with pytest.raises(PermanentError, match="git is not installed"):
        programs.run(["git", "version"], repo=repo, guard=UNGUARDED)
    with pytest.raises(PermanentError, match="not installed"):
        programs.find_program("git")


def test_a_failure_carries_exit_code_and_the_end_of_stderr(
    repo: Path, program_folder: Path
) -> None:
    put_program(
        program_folder,
        "git",
        "head -c 300000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 7",
    )
    with pytest.raises(
        ToolFailed, match=r"git version failed, exit code 7: x+END$"
    ) as caught:
        programs.run(["git", "version"], repo=repo, guard=UNGUARDED)
    assert len(caught.value.message) < programs.TAIL + 100


def test_a_full_disk_under_git_is_disk_trouble(repo: Path, program_folder: Path) -> None:
    put_program(
        program_folder,
        "git",
        "echo 'fatal: write error: No space left on device' >&2; exit 128",
    )
    with pytest.raises(DiskTrouble, match="No space left"):
        programs.run(["git", "version"], repo=repo, guard=UNGUARDED)


def test_keys_are_those_that_git_annex_calculates() -> None:
    """The hash directories too, for extensions of all kinds."""
    paths = [
        "a.dcm",
        "a.IMA",
        "noext",
        "1.2.3",
        "x.tar.gz",
        "x y.dcm",
        " x.dcm",
        "a.ü",
        "q.d&m",
    ]
    asked = [WantedKey(7, MD5, path.encode()) for path in paths]
    with KeySource() as keys:
        found = list(keys.keys(asked, UNGUARDED))
    assert [key.name.decode().removeprefix(f"MD5E-s7--{MD5}") for key in found] == [
        *(".dcm", ".IMA", "", ".2.3", ".tar.gz", ".dcm", ".dcm", ".ü", "")
    ]
    for key in found:
        assert key.lower.count(b"/") == key.mixed.count(b"/") == 2


def test_many_keys_neither_block_nor_get_out_of_order() -> None:
    """Far more than the pipes hold, asked for by a generator."""
    count = 20_000
    with KeySource() as keys:
        found = list(keys.keys(iter(wanted(count)), UNGUARDED))
    assert [key.name for key in found] == [
        b"MD5E-s%d--%s.dcm" % (n, MD5.encode()) for n in range(count)
    ]


def test_one_source_serves_many_visits_and_outlives_its_program() -> None:
    guard = Minding()
    with KeySource() as keys:
        first = list(keys.keys(wanted(3), guard))
        assert list(keys.keys(wanted(3), guard)) == first
        assert len(set(guard.seen)) == 1
        os.killpg(guard.seen[0], signal.SIGKILL)
        # Until it is dead, but not reaped: that is for the source to do.
        os.waitid(os.P_PID, guard.seen[0], os.WEXITED | os.WNOWAIT)
        assert list(keys.keys(wanted(3), guard)) == first
        assert len(set(guard.seen)) == 2
        last = guard.seen[-1]
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


def test_called_off_work_leaves_no_program_and_no_stray_answer() -> None:
    guard = Minding(until=1)
    with KeySource() as keys:
        with pytest.raises(Cancelled):
            list(keys.keys(wanted(3 * annex_keys.BATCH), guard))
        asked = [WantedKey(1, MD5, b"other.ima")]
        [key] = keys.keys(asked, UNGUARDED)
        assert key.name.endswith(b".ima")
    assert guard.running == []


@pytest.mark.parametrize("program", ["sleep 60 & wait", "cat > /dev/null; sleep 60"])
def test_a_stalled_git_annex_that_is_ended_is_a_failure_at_once(
    program: str, program_folder: Path
) -> None:
    """The guard's owner kills the group from another thread; children die with it."""
    put_program(program_folder, "git-annex", program)
    guard = Minding()

    def has_children() -> bool:
        return bool(guard.running and psutil.Process(guard.running[0].pid).children())

    def kill() -> None:
        wait_until(has_children, 20, "it runs, and so does what it started")
        end_group(guard.running[0])
        killed.append(time.monotonic())

    killed: list[float] = []
    killer = threading.Thread(target=kill)
    killer.start()
    with KeySource() as keys, pytest.raises(ToolFailed, match="killed by signal 9"):
        list(keys.keys(wanted(2 * annex_keys.BATCH), guard))
    noticed = time.monotonic()
    killer.join()
    assert noticed - killed[0] < 20, "it waited for the minute that a child sleeps"


def test_an_answer_to_another_question_is_refused(program_folder: Path) -> None:
    put_program(
        program_folder, "git-annex", "while read line; do echo 'MD5E-s9--x a/b/ c/d/'; done"
    )
    with KeySource() as keys, pytest.raises(ToolFailed, match="gave no key for 'folder/0"):
        list(keys.keys(wanted(2), UNGUARDED))


def test_a_stream_that_breaks_off_makes_nothing(repo: Path) -> None:
    """Without its last word, and with an error of its maker."""
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\n"
    with pytest.raises(ToolFailed, match="fast-import"):
        repository.fast_import(repo, [commit], UNGUARDED)

    def broken() -> Iterator[bytes]:
        yield commit
        raise Cancelled("called off")

    guard = Minding()
    with pytest.raises(Cancelled):
        repository.fast_import(repo, broken(), guard)
    assert guard.running == []
    assert list((repo / "refs" / "heads").iterdir()) == []


def test_git_that_ends_early_is_a_failure_not_a_broken_pipe(
    repo: Path, program_folder: Path
) -> None:
    put_program(program_folder, "git", "echo enough >&2; exit 3")
    with pytest.raises(ToolFailed, match="exit code 3: enough"):
        repository.fast_import(repo, [b"x" * 100_000] * 50, UNGUARDED)


@pytest.mark.parametrize(
    "name", [".git", ".GIT", "git~1", ".g\u200cit", ".git ", ".git::$DATA"]
)
def test_git_names_the_path_that_it_would_not_check_out(name: str, repo: Path) -> None:
    entry = f'M 120000 inline "folder/{name}/x"\ndata 1\na\n'.encode()
    commit = b"commit refs/heads/master\ncommitter a <b@c> 1 +0000\ndata 0\n\n"
    repository.fast_import(repo, [commit, entry, b"done\n"], UNGUARDED)
    with pytest.raises(BadTarball) as caught:
        repository.check_tree(repo, "refs/heads/master", UNGUARDED)
    assert repr(f"folder/{name}/x") in caught.value.message
