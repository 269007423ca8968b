"""Commands that are printed work when they are pasted: for the same store, quoted."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest
from click.testing import CliRunner

from icfqueue.cli.group import cli
from icfqueue.cli.options import visit_arguments, where_options, work_options
from icfqueue.cli.shell.again import nobody_works, ours, place_from_afar, this_again, whole

PLACE = {"--store-dir": "/data/my store", "--broker": "redis://host"}


def printed(*words: str) -> list[str]:
    """Return what a command with all shared options prints that goes on as it did."""

    @click.command()
    @visit_arguments
    @click.option("--jobs", default=2)
    @work_options
    @where_options
    def run(**_: Any) -> None:
        click.echo(this_again())
        click.echo(ours("retry", "study_1"))

    done = CliRunner().invoke(run, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


def test_what_goes_on_is_the_same_command_line_as_far_as_it_was_given() -> None:
    again, retry = printed("study_1", "sub-0*", "v1", "--store-dir", "/data/my store")
    assert again == "icfqueue run study_1 'sub-0*' v1 --store-dir '/data/my store'"
    assert retry == "icfqueue retry study_1 --store-dir '/data/my store'"
    again, retry = printed("study_1/", "--remote", "--jobs", "4", "--credential", "icf")
    assert again == "icfqueue run study_1 --jobs 4 --remote --credential icf"
    assert retry == "icfqueue retry study_1"


def test_what_would_begin_anew_or_cannot_be_given_again_is_left_out() -> None:
    """``--force`` would make anew what is done, and standard input has been read."""
    again, _ = printed("study_1", "--force", "--dry-run", "--remove-tarball")
    assert again == "icfqueue run study_1 --remove-tarball"


def test_what_is_not_needed_to_go_on_can_be_left_out() -> None:
    @click.command()
    @visit_arguments
    @work_options
    def run(**_: Any) -> None:
        click.echo(this_again(without=["visits", "remote"]))

    words = ["study_1", "v1", "v2", "--remote", "--remove-tarball"]
    done = CliRunner().invoke(run, words, catch_exceptions=False)
    assert done.stdout == "icfqueue run study_1 --remove-tarball\n"


@pytest.mark.parametrize("word", ["--stream", "--no-stream"])
def test_that_something_is_not_wanted_is_said_again(word: str) -> None:
    again, _ = printed("study_1", word)
    assert again == f"icfqueue run study_1 {word}"


@pytest.mark.usefixtures("monkeypatch")
def test_it_can_be_parsed_again() -> None:
    again, _ = printed("study_1", "v 1", "it's", "--credential", "a b", "--priority", "3")
    words = shlex.split(again)[1:]
    assert printed(*words[1:])[0] == again


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see 'icfqueue status study_1'", "see `icfqueue status study_1{}`"),
        ("`icfqueue retry p 'sub*'`, then", "`icfqueue retry p 'sub*'{}`, then"),
        ("icfqueue forget study_1 v1", "icfqueue forget study_1 v1{}"),
        (
            "`icfqueue retry p && icfqueue run p`",
            "`icfqueue retry p{} && icfqueue run p{}`",
        ),
        ("'icfqueue doctor' tells", "`icfqueue doctor{}` tells"),
        ("run 'git status' and nothing", "run 'git status' and nothing"),
        ("the visit's tarball isn't here", "the visit's tarball isn't here"),
        ("`icfqueue retry`", "`icfqueue retry{}`"),
        ("'icfqueue nonsense'", "`icfqueue nonsense`"),
    ],
)
def test_commands_in_a_remedy_are_for_the_same_store(text: str, expected: str) -> None:
    more = " --store-dir '/data/my store' --broker redis://host"
    assert whole(text, PLACE) == expected.replace("{}", more)
    assert whole(text, {}) == expected.replace("{}", "")


def test_a_remedy_names_files_by_their_whole_path_in_the_store_directory() -> None:
    text = "`gunzip STORE/study_1/v_dicom.tar.gz`, then 'icfqueue retry study_1 v'"
    assert whole(text, {}, "/my store") == (
        "`gunzip '/my store/study_1/v_dicom.tar.gz'`, then `icfqueue retry study_1 v`"
    )


def test_who_is_elsewhere_is_given_whole_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    @click.command()
    @where_options
    def status(**_: Any) -> None:
        click.echo(ours("status", place=place_from_afar()))

    done = CliRunner().invoke(status, ["--store-dir", "my store", "--broker", "redis://h"])
    assert done.stdout == "icfqueue status --store-dir '/my store' --broker redis://h\n"


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        (None, "`icfqueue worker`."),
        ("p", "`icfqueue worker`, or use `icfqueue run p 'v*'`."),
    ],
)
def test_where_nobody_works_both_ways_out_are_named(
    project: str | None, expected: str
) -> None:
    assert nobody_works(project, "v*") == f"No worker is running: start {expected}"


def test_a_command_is_given_only_the_options_that_it_has() -> None:
    assert ours("references", "p", place=PLACE) == (
        "icfqueue references p --store-dir '/data/my store'"
    )
    assert ours("range", "on", place=PLACE) == "icfqueue range on"
    assert ours("run", "p", "--broker", "x", place={"--broker": "y"}) == (
        "icfqueue run p --broker x"
    )


def test_the_group_knows_where_the_last_command_was_told_that_the_store_is() -> None:
    CliRunner().invoke(cli, ["status", "--store-dir", "/no/such"])
    assert cli.place == {"--store-dir": "/no/such"}
    CliRunner().invoke(cli, ["status"], env={"ICFQUEUE_STORE_DIR": "/no/such"})
    assert cli.place == {}
