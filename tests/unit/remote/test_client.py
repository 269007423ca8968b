"""The client of the store on the web: what it understands and what it refuses."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.credentials import log_in
from support.faulty_store import FaultyStore

from icfqueue.core.errors import (
    AccessDenied,
    BadId,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    Unreachable,
    UsageError,
)
from icfqueue.core.visit import Visit
from icfqueue.remote.client import RemoteStore
from icfqueue.remote.download import RemoteFile

SECRET = "s3cret-pass"
VISIT = Visit("study_1", "v")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """A store with one visit, and the DataLad credential ``store`` for it."""
    folder = tmp_path / "web" / "study_1"
    folder.mkdir(parents=True)
    (folder / VISIT.tarball).write_bytes(b"x" * 1000)
    with FaultyStore(folder.parent, user="alice", password=SECRET) as web:
        log_in(monkeypatch, web)
        yield web


def client(web: FaultyStore, **how: Any) -> RemoteStore:
    return RemoteStore(web.url, **how)


def test_a_login_in_the_store_url_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError) as caught:
        RemoteStore("https://alice:hunter2@data.example.org")
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


# Directory listings


def test_the_visits_of_a_project_are_listed(web: FaultyStore) -> None:
    for name in ("b_dicom.tar", "b_dicom.tar.md5sum", "a&b_dicom.tar", "a_XDLRA--refs"):
        (web.root / "study_1" / name).touch()
    (web.root / "study_1" / "dir_dicom.tar").mkdir()
    assert client(web).visits("study_1") == [Visit("study_1", "b"), VISIT]


def test_a_project_that_is_not_there_is_said_so(web: FaultyStore) -> None:
    with pytest.raises(NotInStore, match="/nowhere/ answers 404"):
        client(web).visits("nowhere")


def test_a_listing_that_is_no_web_page_is_said_so(web: FaultyStore) -> None:
    (web.root / "study_1" / "index.html").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            __import__("icfqueue.serve.server").serve.server.TYPES, ".html", "a/b"
        )
        with pytest.raises(PermanentError, match="sends a/b, not a directory listing"):
            client(web).visits("study_1")


def test_a_store_that_does_not_answer_a_listing_is_unreachable(web: FaultyStore) -> None:
    remote = client(web)
    web.fail("status", status=503)
    with pytest.raises(Unreachable, match="503"):
        remote.visits("study_1")
    web.close()
    with pytest.raises(Unreachable, match="refused") as caught:
        client(web).visits("study_1")
    assert "\n" not in caught.value.message


def test_a_host_without_an_address_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        RemoteStore("http://no-such-host.invalid", connect_timeout=2).visits("study_1")


def test_a_project_that_may_not_become_a_path_is_not_asked_for(web: FaultyStore) -> None:
    with pytest.raises(BadId):
        client(web).visits("../study_1")
    assert not web.seen


# Single files


def test_head_tells_size_and_validators(web: FaultyStore) -> None:
    found = client(web).head(VISIT.storepath)
    assert found.size == 1000
    assert found.validator == found.etag
    assert RemoteFile(1, 'W/"weak"', "yesterday").validator == "yesterday"


@pytest.mark.parametrize("text", ["{0}  {1}\n", "{0} *{1}\n", "{0}  {1}"])
def test_a_published_md5_is_read(web: FaultyStore, text: str) -> None:
    md5 = "0123456789ABCDEF0123456789abcdef"
    path = web.root / "study_1" / VISIT.md5sum
    path.write_text(text.format(md5, VISIT.tarball))
    assert client(web).md5sum(VISIT) == md5.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef  other_dicom.tar\n",
        "0123456789abcdef0123456789abcde  v_dicom.tar\n",
        "0123456789abcdef0123456789abcdef  v_dicom.tar\n\n",
        "0123456789abcdef0123456789abcdef  v_dicom.tar\nmore\n",
        "<html>",
    ],
)
def test_a_sum_file_that_is_something_else_is_refused(web: FaultyStore, text: str) -> None:
    (web.root / "study_1" / VISIT.md5sum).write_text(text)
    with pytest.raises(PermanentError, match=r"is not '<md5>  v_dicom\.tar'"):
        client(web).md5sum(VISIT)


def test_a_sum_file_that_broke_off_may_come_whole_next_time(web: FaultyStore) -> None:
    path = web.root / "study_1" / VISIT.md5sum
    path.write_text(f"{'0' * 32}  {VISIT.tarball}\n")
    web.fail("cut", path="*.md5sum", after=40)
    with pytest.raises(NetworkTrouble):
        client(web).md5sum(VISIT)


def test_a_connection_that_the_store_closed_meanwhile_is_made_anew(
    web: FaultyStore,
) -> None:
    remote = client(web)
    remote.head(VISIT.storepath)
    web.close()
    with FaultyStore(web.root, user=web.user, password=web.password, port=web.port):
        assert remote.head(VISIT.storepath).size == 1000


def test_a_secure_connection_that_is_not_made_may_be_made_later(web: FaultyStore) -> None:
    with pytest.raises(NetworkTrouble, match="secure connection was not made") as caught:
        RemoteStore(web.url.replace("http", "https")).head(VISIT.storepath)
    assert "certificate" in caught.value.hint


def test_without_a_sum_file_there_is_no_md5(web: FaultyStore) -> None:
    assert client(web).md5sum(VISIT) is None


# Logging in


def test_one_challenge_opens_a_project_for_the_session(web: FaultyStore) -> None:
    remote = client(web)
    for _ in range(5):
        remote.head(VISIT.storepath)
    assert web.count(status=401) == 1
    assert web.count(status=200) == 5


def test_a_named_credential_is_used(web: FaultyStore) -> None:
    assert client(web, credential="store").head(VISIT.storepath).size == 1000


@pytest.mark.parametrize("name", [None, "other", "store"])
def test_without_the_right_credential_access_is_denied_at_once(
    web: FaultyStore, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """After at most two requests and no pause, with a hint, without the password."""
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    if name == "store":
        log_in(monkeypatch, web, password="wrong-secret")
    else:
        for field in ("TYPE", "REALM", "USER", "SECRET"):
            monkeypatch.delenv(f"DATALAD_CREDENTIAL_STORE_{field}")
    with pytest.raises(AccessDenied) as caught:
        client(web, credential=name).head(VISIT.storepath)
    assert web.count() == (2 if name == "store" else 1)
    # Whoever waits for a process of its own does so in shorter pieces.
    assert max(paused, default=0.0) < 0.1
    assert "datalad credentials set" in caught.value.hint
    assert f"realm={web.url}/{web.realm}" in caught.value.hint
    shown = repr(caught.value.to_dict()) + repr(caught.value.__cause__)
    assert "wrong-secret" not in shown
    assert "Basic" not in shown


def test_a_credential_that_was_set_meanwhile_is_found(
    web: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = client(web)
    log_in(monkeypatch, web, password="old")
    with pytest.raises(AccessDenied):
        remote.head(VISIT.storepath)
    log_in(monkeypatch, web)
    assert remote.head(VISIT.storepath).size == 1000


def test_a_password_that_changed_in_the_store_is_looked_up_again(
    web: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = client(web)
    remote.head(VISIT.storepath)
    web.password = "new"
    with pytest.raises(AccessDenied):
        remote.head(VISIT.storepath)
    log_in(monkeypatch, web, password="new")
    assert remote.head(VISIT.storepath).size == 1000


ASK = """
import sys
from icfqueue.core.errors import AccessDenied
from icfqueue.remote.client import RemoteStore
from icfqueue.core.visit import Visit
import datalad.ui
datalad.ui.ui.set_backend("dialog")
assert sys.stdin.isatty() and datalad.ui.ui.is_interactive
try:
    RemoteStore(sys.argv[1]).head("study_1/v_dicom.tar")
except AccessDenied:
    sys.exit(7)
"""


def test_nobody_is_asked_even_at_a_terminal(web: FaultyStore) -> None:
    """A process with a terminal and DataLad's dialogue ends without having asked."""
    ours, theirs = pty.openpty()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DATALAD_CREDENTIAL")
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK, web.url],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            timeout=30,
            check=False,
        )
        os.set_blocking(ours, False)
        try:
            shown = os.read(ours, 10_000)
        except BlockingIOError:
            shown = b""
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 7, shown.decode(errors="replace")
    assert b"user:" not in shown
    assert b"password:" not in shown


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ("Negotiate", "log-in negotiate, unknown to DataLad"),
        ('Basic charset="UTF-8"', "no access"),
        ("Basic", "no access"),
        ("=,=", "no access"),
        ("", "no access"),
    ],
)
def test_a_strange_challenge_is_no_more_than_a_refusal(
    web: FaultyStore, challenge: str, words: str
) -> None:
    web.auth = False
    web.fail("status", status=401, headers={"WWW-Authenticate": challenge}, times=None)
    with pytest.raises(AccessDenied, match=words):
        client(web).head(VISIT.storepath)


# Redirects


@pytest.mark.parametrize("name", [None, "store"])
def test_another_host_gets_no_credential(web: FaultyStore, name: str | None) -> None:
    """Neither with the redirected request nor when that host asks for one."""
    with FaultyStore(web.root, user="mallory", realm=web.realm) as other:
        # By name, so that host and port differ.
        other_url = other.url.replace("127.0.0.1", "localhost")
        remote = client(web, credential=name)
        remote.head(VISIT.storepath)
        web.fail("redirect", location=f"{other_url}/{VISIT.storepath}")
        with pytest.raises(AccessDenied, match="another host"):
            remote.head(VISIT.storepath)
        assert other.seen
        assert all("Authorization" not in headers for _, _, headers in other.seen)
    assert remote.head(VISIT.storepath).size == 1000, "the credential is lost for the store"


def test_a_redirect_to_an_open_host_is_followed(web: FaultyStore) -> None:
    with FaultyStore(web.root, auth=False) as other:
        web.fail("redirect", location=f"{other.url}/{VISIT.storepath}")
        assert client(web).head(VISIT.storepath).size == 1000
        assert "Authorization" not in other.seen[0][2]


def test_a_redirect_within_the_store_keeps_the_credential(web: FaultyStore) -> None:
    web.fail("redirect", location=f"/{VISIT.storepath}")
    assert client(web).head("study_1/old_dicom.tar").size == 1000


def test_redirects_in_a_circle_end(web: FaultyStore) -> None:
    web.fail("redirect", location=f"/{VISIT.storepath}", times=None)
    with pytest.raises(PermanentError, match="redirects more than 5 times"):
        client(web).head(VISIT.storepath)
