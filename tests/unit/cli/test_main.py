"""The entry point: one line for what went wrong, the exit code, no password in sight."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click
import kombu.exceptions
import pytest
import redis

from icfqueue.cli import group, main
from icfqueue.core.errors import IcfqueueError, PermanentError, Unreachable, UsageError
from icfqueue.core.processes.ending import Ended

End = Callable[..., int]


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> End:
    """Return what runs the entry point around a command that ends so; the exit code."""

    def run(error: BaseException | None = None, code: int | None = None) -> int:
        def command(**_: Any) -> int | None:
            if error is not None:
                raise error
            return code

        monkeypatch.setattr(sys, "argv", ["icfqueue", "status"])
        monkeypatch.setattr(group.cli, "main", command)
        monkeypatch.setattr(main.gc, "set_threshold", lambda *_: None)
        with pytest.raises(SystemExit) as caught:
            main.main()
        found: int = caught.value.code
        return found

    return run


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_the_exit_code_is_the_commands(end: End, code: int | None, expected: int) -> None:
    assert end(code=code) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IcfqueueError("what was found", hint="what to do"), 1),
        (UsageError("what was found", hint="what to do"), 2),
        (Unreachable("what was found", hint="what to do"), 3),
        (PermanentError("what was found", hint="what to do"), 1),
    ],
)
def test_an_error_of_ours_is_a_line_and_a_hint(
    end: End, capsys: pytest.CaptureFixture[str], error: IcfqueueError, code: int
) -> None:
    assert end(error) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "icfqueue: what was found\n  what to do\n")


def test_without_a_hint_there_is_one_line(
    end: End, capsys: pytest.CaptureFixture[str]
) -> None:
    end(UsageError("what was found"))
    assert capsys.readouterr().err == "icfqueue: what was found\n"


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("x"),
        redis.TimeoutError("x"),
        kombu.exceptions.OperationalError(),
    ],
)
def test_a_broker_that_went_away_ends_with_3(
    end: End, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert end(error) == 3
    assert "connection to the broker was lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/store/x"), "/store/x: No space left"),
        (OSError("no word of the system"), "no word of the system"),
        (ConnectionError(), "ConnectionError"),
    ],
)
def test_an_error_of_the_system_is_a_line(
    end: End, capsys: pytest.CaptureFixture[str], error: OSError, words: str
) -> None:
    assert end(error) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "icfqueue doctor" in said


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_ctrl_c_ends_as_shells_have_it(end: End, error: BaseException) -> None:
    assert end(error) == 130


def test_a_signal_ends_as_shells_have_it(end: End) -> None:
    """Also through click, which makes its own error of it."""
    assert end(Ended(15)) == 143
    aborted = click.exceptions.Abort()
    aborted.__cause__ = Ended(1)
    assert end(aborted) == 129


def test_wrong_usage_is_clicks_to_tell(
    end: End, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end(click.UsageError("no such option")) == 2
    assert "no such option" in capsys.readouterr().err


class Pipe(io.StringIO):
    """A pipe whose reader went away."""

    def flush(self) -> None:
        raise BrokenPipeError

    def fileno(self) -> int:
        return 77


@pytest.mark.parametrize("error", [group.NoReader(), BrokenPipeError(), None])
def test_a_reader_of_a_pipe_that_went_away_ends_it_quietly_as_it_does_other_tools(
    end: End,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
) -> None:
    """Also if that is noticed no sooner than at the end."""
    moved: list[int] = []
    monkeypatch.setattr(main.os, "dup2", lambda _, target: moved.append(target))
    monkeypatch.setattr(main.sys, "stdout", Pipe())
    assert end(error, code=0) == 141
    assert moved == [77]
    assert capsys.readouterr().err == ""


def test_what_nobody_foresaw_is_shown_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def command(**_: Any) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["icfqueue", "status"])
    monkeypatch.setattr(group.cli, "main", command)
    monkeypatch.setattr(main.gc, "set_threshold", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        main.main()


Executed = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Executed:
    """What this process would have replaced itself by."""
    found: Executed = []
    monkeypatch.setattr(
        os, "execve", lambda _, command, environment: found.append((command, environment))
    )
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--broker", "redis://:hunter2@host:1/0"],
        ["status", "--broker=redis://:hunter2@host:1/0", "study_1"],
        ["--broker", "rediss://me:hunter2@host/0", "status"],
    ],
)
def test_a_password_leaves_the_arguments_for_the_environment(
    executed: Executed, words: list[str]
) -> None:
    """Which every user of the machine can read."""
    main._hide_password(["icfqueue", *words])
    ((command, environment),) = executed
    assert "hunter2" not in " ".join(command)
    assert "://host" in " ".join(command)
    assert "hunter2" in environment["ICFQUEUE_BROKER_URL"]
    assert environment["ICFQUEUE_BROKER_FROM_ENVIRONMENT"] == "1"
    assert command[0] == sys.executable


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "--broker", "redis://host/0"],
        ["status", "--broker", "redis://me@host/0"],
        ["status", "--broker"],
        ["status", "--store-url", "https://u:p@host"],
    ],
)
def test_without_a_password_the_process_stays(executed: Executed, words: list[str]) -> None:
    main._hide_password(["icfqueue", *words])
    assert executed == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("WRONGTYPE Operation against a key", "is not what icfqueue writes there"),
        ("SPOILT icfqueue:leases", "icfqueue:leases"),
        ("ERR value is not an integer or out of range", "not an integer"),
        ("ERR unknown command \x1b[31m", "the broker refused what it was asked"),
    ],
)
def test_an_answer_of_the_broker_is_no_lost_connection(
    end: End, capsys: pytest.CaptureFixture[str], said: str, words: str
) -> None:
    assert end(redis.ResponseError(said)) == 3
    told = capsys.readouterr().err
    assert words in told
    assert "lost" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_an_error_is_red_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str,
    coloured: bool,
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main.complain(UsageError("what was found"))
    assert ("\x1b[31m" in capsys.readouterr().err) is coloured


def test_a_remedy_names_the_store_that_the_command_was_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group.cli, "place", {"--store-dir": "/data/my store"})
    main.complain(UsageError("what was found", hint="see 'icfqueue status p'"))
    said = capsys.readouterr().err
    assert "see `icfqueue status p --store-dir '/data/my store'`" in said
