"""Options that commands share: names, defaults, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from icfqueue.cli.options import (
    format_option,
    lines_format_option,
    listening_options,
    queues_option,
    visit_arguments,
    where_options,
    work_options,
)
from icfqueue.core.steps import QUEUES


def parse(*words: str) -> dict[str, Any]:
    """Return what a command with all shared options is called with."""
    seen: dict[str, Any] = {}

    @click.command()
    @visit_arguments
    @work_options
    @where_options
    def command(**given: Any) -> None:
        seen.update(given)

    CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)
    return seen


def test_nothing_is_asked_for_unless_it_is_said() -> None:
    assert parse("study_1") == {
        "project": "study_1",
        "visits": (),
        "remote": False,
        "visits_file": None,
        "credential": None,
        "force": False,
        "no_catalog": False,
        "no_superdataset": False,
        "stream": None,
        "remove_tarball": False,
        "remove_metadata": False,
        "priority": 0,
        "dry_run": False,
        "store_dir": None,
        "store_url": None,
        "broker": None,
    }


def test_each_option_has_its_name() -> None:
    found = parse(
        *("study_1", "v1", "v2", "--remote", "--visits-file", "-", "--credential", "icf"),
        *("--force", "--no-catalog", "--remove-tarball", "--remove-metadata"),
        "--no-superdataset",
        *(
            "--priority",
            "4",
            "--dry-run",
            "--store-dir",
            "/data",
            "--store-url",
            "https://x",
        ),
        *("--broker", "redis://h"),
    )
    assert found["visits"] == ("v1", "v2")
    assert found["visits_file"] == Path("-")
    assert (found["priority"], found["credential"]) == (4, "icf")
    assert found["store_dir"] == Path("/data")
    assert all(found[name] for name in ("remote", "force", "no_catalog", "dry_run"))
    others = ("remove_tarball", "remove_metadata", "no_superdataset")
    assert all(found[name] for name in others)


@pytest.mark.parametrize("wanted", [True, False])
def test_that_nobody_said_whether_to_stream_is_something_else_than_no(wanted: bool) -> None:
    word = "--stream" if wanted else "--no-stream"
    assert parse("study_1", word)["stream"] is wanted


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), click.MissingParameter),
        (("p", "--priority", "5"), click.BadParameter),
        (("p", "--priority", "-1"), click.BadParameter),
        (("p", "--priority", "high"), click.BadParameter),
        (("p", "--fast"), click.NoSuchOption),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], error: type[click.ClickException]
) -> None:
    with pytest.raises(error):
        parse(*words)


@pytest.mark.parametrize(
    ("option", "words", "given"),
    [
        (format_option("table", "csv"), (), {"form": "table"}),
        (format_option("table", "csv"), ("--format", "csv"), {"form": "csv"}),
        (lines_format_option, (), {"form": "text"}),
        (lines_format_option, ("--format", "json"), {"form": "json"}),
        (queues_option, (), {"queues": ",".join(QUEUES)}),
        (listening_options(9, "all"), (), {"port": 9, "host": "127.0.0.1"}),
        (listening_options(9, "all"), ("--port", "0"), {"port": 0, "host": "127.0.0.1"}),
    ],
)
def test_what_some_commands_share_has_the_same_name_and_default(
    option: Callable[[Any], Any], words: tuple[str, ...], given: dict[str, Any]
) -> None:
    seen: dict[str, Any] = {}
    command = click.command()(option(lambda **found: seen.update(found)))
    command.main(words, standalone_mode=False)
    assert seen == given


def test_a_form_that_a_command_does_not_have_is_refused() -> None:
    command = click.command()(format_option("table", "csv")(lambda form: form))
    with pytest.raises(click.BadParameter, match="'table', 'csv'"):
        command.main(("--format", "json"), standalone_mode=False)


def test_the_help_says_who_reaches_a_server_and_what_a_form_is() -> None:
    @click.command()
    @listening_options(9, "who reaches it")
    @format_option("html", "csv", more="csv goes elsewhere.")
    def command() -> None:
        """Nothing."""

    told = command.get_help(click.Context(command, terminal_width=100))
    assert "Address to listen at; who reaches it." in told
    assert "csv goes elsewhere." in told
    # As they are given: first the port.
    assert told.index("--port") < told.index("--host") < told.index("--format")
