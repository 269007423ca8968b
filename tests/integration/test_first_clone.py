"""What the catalog's pages tell somebody who has nothing yet, typed in an empty home.

Installing is not part of it; a terminal, Git without a name and a store that asks for a
password are.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.needs import program

from icfqueue.catalog import site
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import build_project
from icfqueue.outputs import deposit
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

PATIENCE = 120.0
"""Seconds for a prompt to appear."""


@dataclass
class Newcomer:
    """Somebody with an empty home, at a terminal."""

    home: Path

    def types(self, command: str, answers: list[tuple[str, str]]) -> tuple[str, int]:
        """Run `command`, answer each prompt in turn; return all output and exit code."""
        with subprocess.Popen(
            # A terminal of its own, from which passwords are read.
            [program("script", "bsdutils"), "-qefc", command, "/dev/null"],
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PATH": os.environ["PATH"],
                "TERM": "dumb",
                "LANG": "C.UTF-8",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as running:
            assert running.stdin
            said, seen = "", 0
            for prompt, answer in answers:
                while not (found := re.compile(prompt).search(said, seen)):
                    said += self._read(running, f"{prompt!r} after {said}")
                seen = found.end()
                running.stdin.write(f"{answer}\n".encode())
                running.stdin.flush()
            running.stdin.close()
            assert running.stdout
            said += running.stdout.read().decode()
        return said, running.returncode

    def _read(self, running: subprocess.Popen[bytes], what: str) -> str:
        assert running.stdout
        ready, _, _ = select.select([running.stdout], [], [], PATIENCE)
        assert ready, f"never asked {what}"
        more = os.read(running.stdout.fileno(), 1 << 16).decode(errors="replace")
        assert more, f"it ended before {what}"
        return more


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    (tmp_path / "home").mkdir()
    return Newcomer(tmp_path / "home")


VISIT = Visit("study_1", "visit_01")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[DemoStore]:
    """A store that asks for a password, with one deposit."""
    store = Store(tmp_path / "store")
    store.root.mkdir()
    build_project(store.root, VISIT.project, 1)
    with DemoStore(store.root, user="me", password="s3cret") as server:
        settings = Settings(store_dir=store.root, keep_free=0)
        job = Job(VISIT, Options(store_url=server.url), store, settings)
        for step in (index_tar, write_json, export_repo):
            step.run(job)
        yield server


def told() -> list[str]:
    """Return the commands of the pages that give Git a name."""
    text = (site.OUR_FILES / "catalog" / "first_time.js").read_text()
    return re.findall(
        r"""['"](git config --global [^\\']*?)(?:\\n)?['"],?(?: \+)?\n""", text
    )


PROMPTS = [
    (r"user: ?", "me"),
    (r"password: ?", "s3cret"),
    (r"password \(repeat\): ?", "s3cret"),
    (r"name: ?", "icf"),
]


def test_what_the_pages_tell_suffices_for_the_first_clone_and_image(
    newcomer: Newcomer, web: DemoStore
) -> None:
    """The password is asked for once, and kept under the name that was given."""
    assert len(told()) == 2
    for command in told():
        assert newcomer.types(command, []) == ("", 0)
    url = deposit.clone_url(web.url, VISIT)
    said, code = newcomer.types(f"datalad clone '{url}' {VISIT.id}", PROMPTS)
    assert code == 0, said
    said, code = newcomer.types(f"cd {VISIT.id} && datalad get .", [])
    assert code == 0, said
    images = (newcomer.home / VISIT.id).glob("study_1_visit_01/*/*.dcm")
    assert [path.is_file() for path in images] == [True] * 10
    said, code = newcomer.types("datalad credentials get icf", [])
    assert "user_password" in said
    assert "s3cret" not in said
