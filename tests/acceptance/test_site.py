"""The pages as they are built, and the files that stand for the whole repository."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
import yaml

import icfqueue
from icfqueue.cli.group import cli
from icfqueue.core import errors, settings

ROOT = Path(__file__).parents[2]


class Loaded(HTMLParser):
    """What a browser loads for a page, without being asked; and the page's text."""

    LOADS = (
        ("script", "src"),
        ("img", "src"),
        ("iframe", "src"),
        ("source", "src"),
        ("embed", "src"),
        ("object", "data"),
        ("use", "href"),
        ("image", "href"),
        ("form", "action"),
    )

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for attribute, value in attrs:
            loads = (tag, attribute) in self.LOADS or (tag, attribute) == ("link", "href")
            if value and (loads or attribute == "style"):
                self.addresses.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` makes them; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-n",
        "-q",
        "-b",
        "html",
    ]
    done = subprocess.run(
        [
            *command,
            "-d",
            str(folder / "doctrees"),
            str(ROOT / "docs"),
            str(folder / "html"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_the_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        for address in Loaded(page).addresses:
            assert not re.search(r"(^|[\s(\"'])(https?:)?//", address), (page, address)
    for sheet in site.rglob("*.css"):
        for address in re.findall(
            r"(?:url\(|@import)\s*[\"']?([^)\"';]+)", sheet.read_text()
        ):
            assert address.startswith(("data:", "#")) or "//" not in address, (
                sheet,
                address,
            )
    for script in site.rglob("*.js"):
        # A script that loads something names where from.
        loads = r"(fetch|import|src\s*=)\s*\(?[\"'](https?:)?//"
        assert not re.search(loads, script.read_text()), script


def test_the_reference_has_every_command_setting_error_and_package(site: Path) -> None:
    def text(page: str) -> str:
        return Loaded(site / f"{page}.html").text

    commands = text("reference/commands")
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command
        context = click.Context(command, info_name=f"icfqueue {name}")
        assert " ".join(command.get_usage(context).split()[1:]) in " ".join(
            commands.split()
        )
        for parameter in command.params:
            # Arguments stand in the usage.
            if isinstance(parameter, click.Option):
                assert parameter.opts[0] in commands
    for field in settings.Settings.__struct_fields__:
        assert f"ICFQUEUE_{field.upper()}" in text("reference/settings")
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.IcfqueueError):
            assert found.__name__ in text("reference/errors")
            assert found.default_hint.replace("`", "'") in text("reference/errors")
    for folder in (ROOT / "icfqueue").glob("*/__init__.py"):
        assert f"{folder.parent.name}/" in text("architecture")


def test_version_changelog_and_citation_name_one_release() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    released = re.search(r"^## \[(\d[\d.]*)\] - (\S+)$", changes, re.MULTILINE)
    assert released
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert released.groups() == (cited["version"], cited["date-released"])
    assert icfqueue.__version__ == cited["version"]


@pytest.mark.parametrize("line", ["type Id = str", "print(f'{\"\\n\"}')"])
def test_syntax_that_python_3_11_does_not_know_fails_the_check(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", "--stdin-filename", "x.py", "-"],
        input=f"{line}\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "on Python 3.11" in done.stdout


def test_hooks_before_a_commit_are_what_make_check_runs_of_style_types_and_imports() -> (
    None
):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for hook in hooks[0]["hooks"]:
        words = hook["entry"].replace(" --force-exclude", "").split()
        assert " ".join(words[:2]) in makefile
        assert hook["language"] == "system"
