"""``-v`` and ``-q``: before a command or behind it, and nothing of it stays."""

from __future__ import annotations

import logging

import click
import pytest
from click.testing import CliRunner

from icfqueue.cli.shell.loudness import loudness_options, verbose


@click.group()
def group() -> None:
    """Do nothing."""


@group.command()
def speak() -> None:
    """Say all that can be said."""
    click.echo("result")
    click.echo("warning", err=True)
    logging.getLogger("icfqueue.x").info("told \x1b[31m")
    logging.getLogger("icfqueue.x").debug("detail")
    click.echo(f"verbose {verbose()}", err=True)


group.params += loudness_options()
speak.params += loudness_options()


@pytest.mark.parametrize(
    ("words", "out", "err"),
    [
        (["speak"], "result\n", ["warning", "verbose 0"]),
        (["-q", "speak"], "", ["warning", "verbose 0"]),
        (["speak", "--quiet"], "", ["warning", "verbose 0"]),
        (["-v", "speak"], "result\n", ["warning", "INFO", "verbose 1"]),
        (["speak", "-v"], "result\n", ["warning", "INFO", "verbose 1"]),
        (["-v", "speak", "-v"], "result\n", ["warning", "INFO", "DEBUG", "verbose 2"]),
        (["speak", "-vv"], "result\n", ["warning", "INFO", "DEBUG", "verbose 2"]),
    ],
)
def test_how_much_is_said(words: list[str], out: str, err: list[str]) -> None:
    done = CliRunner().invoke(group, words)
    assert done.stdout == out
    lines = dict.fromkeys(done.stderr.splitlines())
    told = dict.fromkeys(
        line if "icfqueue.x" not in line else line.split()[0] for line in lines
    )
    assert list(told) == err
    assert "\x1b" not in done.stderr


def test_nothing_of_it_stays() -> None:
    log = logging.getLogger("icfqueue")
    before = (log.level, list(log.handlers))
    CliRunner().invoke(group, ["-q", "-vv", "speak"])
    assert (log.level, list(log.handlers)) == before
    assert CliRunner().invoke(group, ["speak"]).stdout == "result\n"
