"""Annex keys: git-annex's own, asked for in batches, from a program that may die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.guards import MindingGuard
from support.waiting import wait_until

from icfqueue.core.errors import Cancelled, PermanentError, ToolFailed
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.processes.groups import end_group
from icfqueue.dataset import annex_keys, programs
from icfqueue.dataset.annex_keys import KeySource, WantedKey

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
Program = Callable[[str, str], None]


def wanted(count: int) -> list[WantedKey]:
    return [WantedKey(n, MD5, b"folder/%d.dcm" % n) for n in range(count)]


def test_git_annex_is_found_beside_python_without_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker started by its absolute path has no environment's folder in PATH."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with KeySource() as keys:
        assert len(list(keys.keys(wanted(2), UNGUARDED))) == 2


def test_without_git_annex_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with KeySource() as keys, pytest.raises(PermanentError, match="git-annex") as caught:
        list(keys.keys(wanted(1), UNGUARDED))
    assert "pip install git-annex" in caught.value.hint


def test_keys_do_not_depend_on_the_users_or_the_callers_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[annex]\n\tmaxextensionlength = 1\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    with KeySource() as keys:
        [key] = keys.keys([WantedKey(1, MD5, "ü.dcm".encode())], UNGUARDED)
    assert key.name == f"MD5E-s1--{MD5}.dcm".encode()


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
    guard = MindingGuard()
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
    guard = MindingGuard(until=1)
    with KeySource() as keys:
        with pytest.raises(Cancelled):
            list(keys.keys(wanted(3 * annex_keys.BATCH), guard))
        asked = [WantedKey(1, MD5, b"other.ima")]
        [key] = keys.keys(asked, UNGUARDED)
        assert key.name.endswith(b".ima")
    assert guard.running == []


@pytest.mark.parametrize("script", ["sleep 60 & wait", "cat > /dev/null; sleep 60"])
def test_a_stalled_git_annex_that_is_ended_is_a_failure_at_once(
    program: Program, script: str
) -> None:
    """The guard's owner kills the group from another thread; children die with it."""
    program("git-annex", script)
    guard = MindingGuard()

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


def test_an_answer_to_another_question_is_refused(program: Program) -> None:
    program("git-annex", "while read line; do echo 'MD5E-s9--x a/b/ c/d/'; done")
    with KeySource() as keys, pytest.raises(ToolFailed, match="gave no key for 'folder/0"):
        list(keys.keys(wanted(2), UNGUARDED))


def test_nothing_wanted_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        annex_keys, "_Child", lambda *_: pytest.fail("git-annex was started")
    )
    with KeySource() as keys:
        assert list(keys.keys([], UNGUARDED)) == []


def test_its_repository_is_gone_as_soon_as_it_has_begun_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed leaves nothing behind."""
    monkeypatch.setattr(annex_keys.tempfile, "tempdir", str(tmp_path))
    with KeySource() as keys:
        found = keys.keys(wanted(2 * annex_keys.BATCH), UNGUARDED)
        next(found)
        assert list(tmp_path.iterdir()) == []
        assert len(list(found)) == 2 * annex_keys.BATCH - 1


def test_a_repository_that_was_given_is_left_as_it_is(repo: Path) -> None:
    before = sorted(path.name for path in repo.rglob("*"))
    with KeySource(repo) as keys:
        assert len(list(keys.keys(wanted(3), UNGUARDED))) == 3
    assert sorted(path.name for path in repo.rglob("*")) == before
