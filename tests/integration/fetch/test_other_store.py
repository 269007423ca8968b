"""Records that name another store than the worker's settings: no password for that one.

Who can write a record at the broker can write any address into it. Two real servers: the
site's own, whose password DataLad knows, and another, which asks for one as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.credentials import log_in
from support.faulty_store import FaultyStore

from icfqueue.core.errors import AccessDenied
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.steps import fetch
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

VISIT = Visit("study_1", "v")
SECRET = "hunter2"


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / VISIT.project).mkdir(parents=True)
    (folder / VISIT.storepath).write_bytes(b"x" * 10_240)
    return folder


@pytest.fixture
def own(web: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    with FaultyStore(web, user="alice", password=SECRET) as store:
        log_in(monkeypatch, store, name="icf")
        yield store


def job_of(tmp_path: Path, own: FaultyStore, url: str, credential: str | None) -> Job:
    root = tmp_path / "store"
    (root / VISIT.project).mkdir(parents=True, exist_ok=True)
    settings = Settings(store_dir=root, store_url=own.url, keep_free=0)
    return Job(VISIT, Options(url, credential=credential), Store(root), settings)


def logins(store: FaultyStore) -> list[str]:
    """Return the passwords that a server was sent, and its clients' words for them."""
    return [
        value
        for *_, headers in store.seen
        for name, value in headers.items()
        if name.lower() in {"authorization", "proxy-authorization", "cookie"}
    ]


@pytest.mark.parametrize("credential", ["icf", None])
def test_another_store_that_asks_for_a_log_in_gets_none(
    tmp_path: Path, own: FaultyStore, web: Path, credential: str | None
) -> None:
    """By name or by realm: not even one that calls its area as the site's own does."""
    with FaultyStore(web, user="alice", password=SECRET, realm=own.realm) as other:
        with pytest.raises(AccessDenied) as found:
            fetch.run(job_of(tmp_path, own, other.url, credential))
        assert other.seen
        assert not logins(other)
    error = found.value
    assert error.elsewhere
    assert "setting store_url names another store" in error.message
    assert own.url in error.message
    assert f"ICFQUEUE_STORE_URL={other.url} where the workers run" in error.hint
    assert f"--store-url {own.url}" in error.hint
    assert SECRET not in error.message + error.hint
    assert not own.seen


def test_the_sites_own_store_gets_it_as_ever(tmp_path: Path, own: FaultyStore) -> None:
    """And a worker that asked another in between does not mix them up."""
    job = job_of(tmp_path, own, own.url, "icf")
    fetch.run(job)
    assert logins(own)
    assert job.store.path(VISIT, VISIT.tarball).stat().st_size == 10_240


def test_another_store_without_a_log_in_works(
    tmp_path: Path, own: FaultyStore, web: Path
) -> None:
    with FaultyStore(web, auth=False) as other:
        job = job_of(tmp_path, own, other.url, "icf")
        fetch.run(job)
        assert not logins(other)
    assert job.store.path(VISIT, VISIT.tarball).stat().st_size == 10_240
    assert not own.seen


def test_the_settings_decide_and_not_who_was_asked_first(
    tmp_path: Path, own: FaultyStore, web: Path
) -> None:
    """Connections are kept: those with a credential are not taken for those without."""
    with FaultyStore(web, user="alice", password=SECRET) as other:
        mine = job_of(tmp_path, other, other.url, "icf")
        named = {"REALM": f"{other.url}/{other.realm}"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATALAD_CREDENTIAL_ICF_REALM", named["REALM"])
            fetch.run(mine)
        before = len(logins(other))
        assert before
        mine.store.path(VISIT, VISIT.tarball).unlink()
        theirs = msgspec.structs.replace(mine.settings, store_url=own.url)
        with pytest.raises(AccessDenied):
            fetch.run(Job(VISIT, mine.options, mine.store, theirs))
        assert len(logins(other)) == before
