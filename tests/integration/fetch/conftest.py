"""What the tests of the step ``fetch`` share.

=======  ========  ===============================================================
fixture  scope     what it gives
=======  ========  ===============================================================
web      function  a store on the web that has one tarball; it can be made to fail
job      function  the job that fetches it; its guard counts bytes
=======  ========  ===============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.credentials import log_in
from support.faulty_store import FaultyStore
from support.fetch import CONTENT, MD5, VISIT
from support.guards import CountingGuard

from icfqueue.steps.job import Job


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    folder = tmp_path / "web" / VISIT.project
    folder.mkdir(parents=True)
    (folder / VISIT.tarball).write_bytes(CONTENT)
    (folder / VISIT.md5sum).write_text(f"{MD5}  {VISIT.tarball}\n")
    with FaultyStore(folder.parent) as web:
        log_in(monkeypatch, web)
        yield web


@pytest.fixture
def job(web: FaultyStore, make_job: Callable[..., Job]) -> Job:
    made = make_job(VISIT.id, VISIT.project, store_url=web.url)
    return replace(made, guard=CountingGuard())
