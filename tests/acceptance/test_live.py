"""A slow download as a person follows it: a real run in a pseudo terminal, and its end."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Icfqueue
from support.nginx import Nginx
from support.valkey import Valkey

from icfqueue.core.visit import Visit
from icfqueue.demo.visits import members_of_visit, shipped, write_tar

SIZE = 5 << 20
SLOW = "limit_rate 1m; location /study_1/ { auth_basic off; }"
"""A megabyte a second to each who asks, without a password."""

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMES = re.compile(r"visit_01 +fetch +[0-9.]+ (?:kB|MB) of 5\.\d MB")
"""Bytes that have arrived, of those that the store announced."""


class Terminal:
    """A command in a pseudo terminal of 80 columns."""

    def __init__(self, icfqueue: Icfqueue, *words: str) -> None:
        self.process, self._ours = icfqueue.at_a_terminal(*words, COLUMNS="80", LINES="24")
        self._raw = b""

    @property
    def text(self) -> str:
        """All that was shown so far, without what steers the terminal."""
        return CODES.sub("", self._raw.decode(errors="replace"))

    def until(self, wanted: re.Pattern[str] | None = None, seconds: float = 120) -> str:
        """Read until something is shown, or else to the end; return all that was."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if wanted and wanted.search(self.text):
                return self.text
            if not select.select([self._ours], [], [], 0.2)[0]:
                continue
            try:
                # EIO is how the last process that had it open is told of.
                self._raw += os.read(self._ours, 65536)
            except OSError:
                break
        else:
            pytest.fail(f"not seen within {seconds} s: {wanted}\n{self.text}")
        assert wanted is None, self.text
        return self.text

    def interrupt(self) -> int:
        """Send Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        self.until()
        return self.process.wait(60)


@pytest.fixture
def icfqueue(tmp_path: Path) -> Iterator[Icfqueue]:
    """A store on the web with a large and a small tarball, and a store directory."""
    root, store = tmp_path / "web", tmp_path / "store"
    (root / "study_1").mkdir(parents=True)
    store.mkdir()
    files = shipped("dicomdirtests/98892003/MR1")
    for name, size in (("visit_01", SIZE), ("visit_02", 1000)):
        visit = Visit("study_1", name)
        more = (f"study_1_{name}/notes.bin", b"x" * size)
        write_tar(root / "study_1" / visit.tarball, [*members_of_visit(visit, files), more])
    with Nginx(tmp_path / "nginx", root, SLOW) as web, Valkey() as broker:
        more_settings = {
            "ICFQUEUE_STORE_URL": web.url,
            "ICFQUEUE_BROKER_URL": broker.url,
            "ICFQUEUE_GRACE": "1",
        }
        yield Icfqueue(store, more_settings)


def test_a_download_is_seen_as_it_comes_and_the_end_says_how_to_get_at_it(
    icfqueue: Icfqueue,
) -> None:
    """By who runs it and by who watches; Ctrl-C ends both, and the same command goes on."""
    ran = Terminal(icfqueue, "run", "study_1", "--remote", "--jobs", "1")
    seen = ran.until(COMES)
    assert re.search(r"fetch +1 at work", seen)
    watched = Terminal(icfqueue, "status", "study_1", "--watch")
    watched.until(COMES)
    assert watched.interrupt() == 130
    assert ran.interrupt() == 130
    assert "To go on: icfqueue run study_1" in ran.text
    again = Terminal(icfqueue, "run", "study_1", "--remote", "--jobs", "1")
    said = again.until().replace("\r", "")
    assert again.process.wait(60) == 0
    lines = [line.strip() for line in said.splitlines()]
    assert "study_1: 2 visits    2 done" in lines
    assert any(line.startswith("2 visits, 6 DICOMs, 5.") for line in lines)
    page = icfqueue.store / "study_1" / "catalog" / "index.html"
    assert page.exists()
    assert f"catalog: {page}" in " ".join(lines)
    command = next(line for line in lines if line.startswith("to clone it: "))
    assert command.startswith("to clone it: icfqueue clone study_1 --store-url http://")
