"""Each command's help ends with examples, and these are lines that the command takes."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from icfqueue.cli.group import COMMANDS, cli
from icfqueue.cli.shell.examples import EXAMPLES


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_one(name: str) -> None:
    said = CliRunner().invoke(cli, [name, "--help"]).stdout
    for line in EXAMPLES[name]:
        assert f"    {line}\n" in said
        assert len(line) <= 76
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_it_is_a_line_that_the_command_takes(line: str) -> None:
    program, name, *words = shlex.split(re.split(r" >>? [~a-z]", line)[0])
    context = click.Context(cli, info_name=program, help_option_names=["-h", "--help"])
    command = cli.get_command(context, name)
    assert command is not None
    # Nothing is asked of a broker by that.
    command.make_context(name, words, parent=context)
