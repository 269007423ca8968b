"""The list of commands: in order, imported when called, forgiving of typos."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from icfqueue import __version__
from icfqueue.cli import commands
from icfqueue.cli.group import COMMANDS, NoReader, cli


def test_every_command_is_a_function_of_its_name_in_the_module_of_its_name() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        found = cli.get_command(context, name)
        assert found is not None
        assert found.name == name
        assert found.callback is not None
        assert found.callback.__module__ == f"icfqueue.cli.commands.{name}"


def test_every_module_of_the_package_is_a_command() -> None:
    names = {found.name for found in pkgutil.iter_modules(commands.__path__)}
    assert names == set(COMMANDS)


def test_commands_are_listed_in_the_order_in_which_a_user_needs_them() -> None:
    done = CliRunner().invoke(cli, ["--help"])
    assert done.exit_code == 0
    lines = done.stdout.partition("Commands:")[2].splitlines()
    first = [line.split()[0] for line in lines if re.match(r"  \S", line)]
    assert tuple(first) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    for word in ("-h", "--help"):
        done = CliRunner().invoke(cli, [name, word])
        assert done.exit_code == 0
        assert done.stdout.startswith(f"Usage: cli {name}")


HELPED = """
import click
from click.testing import CliRunner
from icfqueue.cli.group import cli

command = cli.get_command(click.Context(cli), "status")
command.make_parser(click.Context(command))
raise SystemExit(CliRunner().invoke(cli, ["status", "-h"]).exit_code)
"""


def test_help_is_called_the_same_whoever_asks_for_it_first() -> None:
    """As a context that knows nothing of the group's, and only looks at options."""
    assert subprocess.run([sys.executable, "-c", HELPED], check=False).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert not [one.name for one in options if not one.help]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_an_example_and_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(cli, [name, "--help"]).stdout.splitlines()
    assert any(line.startswith(f"    icfqueue {name}") for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_version_is_that_of_the_package() -> None:
    done = CliRunner().invoke(cli, ["--version"])
    assert done.stdout == f"icfqueue, version {__version__}\n"


@pytest.mark.parametrize(
    ("typo", "words"),
    [
        ("statis", "No such command 'statis'. Did you mean 'status'?"),
        ("verfy", "Did you mean 'verify'?"),
        ("xyzzy", "No such command 'xyzzy'."),
    ],
)
def test_a_typo_gets_a_suggestion_if_there_is_one(typo: str, words: str) -> None:
    done = CliRunner().invoke(cli, [typo])
    assert done.exit_code == 2
    assert words in done.stderr
    assert ("Did you mean" in done.stderr) is ("Did" in words)


@pytest.mark.parametrize("name", ["os", "__init__", "../demo", "status.x"])
def test_nothing_but_a_command_is_imported(name: str) -> None:
    assert cli.get_command(click.Context(cli), name) is None


def test_help_imports_no_command_and_nothing_slow() -> None:
    code = (
        "import sys; from icfqueue.cli.group import cli\n"
        "slow = {'redis', 'celery', 'rich', 'datalad', 'requests', 'msgspec'}\n"
        "loaded = [n for n in sys.modules if n.startswith('icfqueue.cli.commands.')]\n"
        "assert not loaded, loaded\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_no_color_is_obeyed_by_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    coloured: bool,
) -> None:
    """https://no-color.org: present and not empty."""
    monkeypatch.setenv("NO_COLOR", value)

    @click.command()
    def speak() -> None:
        click.secho("red", fg="red")

    monkeypatch.setattr(cli, "get_command", lambda *_: speak)
    done = CliRunner().invoke(cli, ["status"], color=True)
    assert ("\x1b[31m" in done.stdout) is coloured


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (
            ["--store-dir", "my store", "run", "study_1", "--jobs", "2"],
            "icfqueue run study_1 --jobs 2 --store-dir 'my store'",
        ),
        (["-v", "--broker=redis://h", "status"], "icfqueue status -v --broker=redis://h"),
        (["--store-dir", "run", "status"], "icfqueue status --store-dir run"),
        (["--store-dir", "x"], "icfqueue status --store-dir x"),
    ],
)
def test_an_option_before_its_command_is_refused_with_what_works(
    words: list[str], meant: str
) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert f"stands behind the command: `{meant}`" in done.stderr


def test_an_option_that_no_command_has_is_refused_as_ever() -> None:
    done = CliRunner().invoke(cli, ["--nonsense", "run", "study_1"])
    assert done.exit_code == 2
    assert "No such option" in done.stderr
    assert "stands behind" not in done.stderr


def _writes_as_click() -> None:
    raise BrokenPipeError


def _writes_as_rich() -> None:
    try:
        _writes_as_click()
    except BrokenPipeError:
        sys.exit(1)


@pytest.mark.parametrize("writes", [_writes_as_click, _writes_as_rich])
def test_a_pipe_without_a_reader_is_told_from_a_failure(
    monkeypatch: pytest.MonkeyPatch, writes: Callable[[], None]
) -> None:
    """Click and rich would end the command with 1."""
    command = click.Command("status", callback=writes)
    monkeypatch.setattr(cli, "get_command", lambda *_: command)
    with pytest.raises(NoReader):
        cli.main(["status"], standalone_mode=False)


def test_another_end_of_a_command_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = click.Command("status", callback=lambda: sys.exit(7))
    monkeypatch.setattr(cli, "get_command", lambda *_: command)
    with pytest.raises(SystemExit, match="7"):
        cli.main(["status"], standalone_mode=False)
